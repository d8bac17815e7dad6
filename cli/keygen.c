/* reentry keygen DIR NAME */
#include "cli/cli.h"
#include "lib/crypt.h"
#include "lib/daemon.h"

int keygen_main(struct cli *cli, int argc, char **argv)
{
	static const struct option_row options[] = {{0}};
	struct err err;
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	if (argc - first != 2)
		return misuse(cli, "a folder and a name are needed");
	const char *dir = argv[first], *name = argv[first + 1];
	if (daemon_mkdir(dir, &err) != OK || key_generate(dir, name, &err) != OK)
		return complain(cli, FAILED, "%s", err.text);
	if (!cli->json) {
		puts(say(cli, T_KEYS_MADE, dir, name, dir, name, NULL));
		return DONE;
	}
	struct buf out;
	buf_init(&out);
	(void)buf_printf(&out, "{\"public\":"); /* the buffer remembers its error */
	char path[4096];
	(void)snprintf(path, sizeof path, "%s/%s.pub", dir, name); /* cut to fit */
	(void)json_string(&out, path);
	(void)buf_text(&out, ",\"secret\":");
	(void)snprintf(path, sizeof path, "%s/%s.key", dir, name); /* cut to fit */
	(void)json_string(&out, path);
	(void)buf_text(&out, "}");
	if (out.error == OK)
		(void)puts((const char *)out.bytes); /* found at the end, when stdout is flushed */
	buf_release(&out);
	return DONE;
}
