/* reentry prove: writes the bundle of a case, which anybody can check offline with `reentry verify`. The broker makes it; nothing is added here. */
#include "cli/proofs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct proving { FILE *out; bool failed; uint64_t lines; bool ended; };

static bool on_line(struct cli *cli, void *context, const char *line, size_t n)
{
	struct proving *p = context;
	(void)cli;
	p->failed = p->failed || fwrite(line, 1, n, p->out) != n || putc('\n', p->out) == EOF;
	p->lines++;
	p->ended = n > 7 && memcmp(line, "{\"end\":", 7) == 0;
	return !p->failed;
}

/* A new file that only we can read: it may hold opened bodies. */
static FILE *make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? NULL : fdopen(fd, "w");
}

int prove_main(struct cli *cli, int argc, char **argv)
{
	const char *subject = NULL, *purpose = NULL, *path = NULL, *witnesses = NULL, *behalf = NULL;
	const struct option_row options[] = {
		{"case", 0, false, false, &subject}, {"purpose", 0, false, false, &purpose}, {"out", 'o', false, false, &path}, {"witnesses", 0, false, false, &witnesses},
		{"on-behalf-of", 0, false, false, &behalf}, {0},
	};
	struct proving p = {.out = stdout};
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	if (first != argc)
		return misuse(cli, "%s: prove takes options only", argv[first]);
	if (subject == NULL)
		return misuse(cli, "--case is needed");
	if (purpose == NULL || purpose[0] == '\0')
		return misuse(cli, "--purpose is needed: why do you look? It goes on record");
	int status = need_agent(cli);
	if (status != DONE)
		return status;
	if (path != NULL && (p.out = make_file(path)) == NULL)
		return complain(cli, FAILED, "%s: cannot be made (%s); a file that is there is not overwritten", path, strerror(errno));
	const char *const parameters[] = {"case", subject, "purpose", purpose, "on_behalf_of", behalf, "witnesses", witnesses, NULL};
	status = ask_broker(cli, "prove", parameters, on_line, &p);
	if (p.out != stdout && fclose(p.out) != 0)
		p.failed = true;
	if (status == DONE && (p.failed || !p.ended))
		status = complain(cli, FAILED, "%s: %s", path != NULL ? path : "stdout", p.failed ? "cannot be written" : "the bundle did not come to its end: ask again");
	if (path != NULL && status != DONE)
		(void)unlink(path); /* half a bundle proves nothing; if it stays, its end is missing */
	if (path != NULL && status == DONE && !cli->json)
		printf("%s: %llu lines; anybody can check it with  reentry verify %s --key LOG.pub\n", path, (unsigned long long)p.lines, path);
	return status;
}
