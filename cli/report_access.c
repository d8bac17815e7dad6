/* reentry report access: who was given what of a case, and when, in plain language. */
#include "cli/report.h"

#include <string.h>

#include "cli/access.h"

static const char *listed(struct cli *cli, const struct access_to *to)
{
	const char *text = "";
	for (size_t i = 0; i < to->n_relations; i++) {
		text = i == 0 ? word(cli, to->relations[i]) : arena_printf(&cli->shown, "%s, %s", text, word(cli, to->relations[i]));
		if (text == NULL)
			return "";
	}
	return text[0] != '\0' ? text : text_of(cli, T_NAMED_ONLY);
}

static void show_to(struct cli *cli, const struct access_to *to)
{
	const char *ground = listed(cli, to);
	if (to->consent)
		ground = say(cli, T_ACCESS_CONSENT, ground, NULL);
	if (to->delivered == NULL)
		puts(say(cli, T_ACCESS_NOT_GIVEN, to->agency, ground, NULL));
	else if (to->acked == NULL)
		puts(say(cli, T_ACCESS_NOT_RECEIVED, to->agency, ground, show_moment(cli, to->delivered), NULL));
	else
		puts(say(cli, T_ACCESS_GIVEN, to->agency, ground, show_moment(cli, to->delivered), show_moment(cli, to->acked), NULL));
}

static const char *sentence(struct cli *cli, const struct access_fact *fact)
{
	static const enum text texts[] = {
		[ACCESS_SHOWN] = T_ACCESS_SHOWN,     [ACCESS_READ] = T_ACCESS_READ,       [ACCESS_READ_ALL] = T_ACCESS_READ_ALL, [ACCESS_PROVED] = T_ACCESS_PROVED,
		[ACCESS_DENIED] = T_ACCESS_DENIED,   [ACCESS_REFUSED] = T_ACCESS_REFUSED, [ACCESS_STALE] = T_ACCESS_STALE,       [ACCESS_ERASE_ORDERED] = T_ACCESS_ERASE_ORDERED,
		[ACCESS_ERASE_WITHDRAWN] = T_ACCESS_ERASE_WITHDRAWN, [ACCESS_ERASE_CONFIRMED] = T_ACCESS_ERASE_CONFIRMED, [ACCESS_ERASED] = T_ACCESS_ERASED,
	};
	const char *agency = fact->agency != NULL ? fact->agency : "";
	if (fact->what == ACCESS_REPORTED && fact->type == NULL)
		return say(cli, T_ACCESS_REPORTED_ERASED, agency, fact->erased != NULL ? fact->erased : "", NULL);
	if (fact->what == ACCESS_REPORTED)
		return say(cli, T_ACCESS_REPORTED, agency, word_type(cli, fact->type), fact->class != NULL ? fact->class : "", NULL);
	if (fact->what == ACCESS_DENIED || fact->what == ACCESS_REFUSED)
		return say(cli, texts[fact->what], agency, fact->code != NULL ? fact->code : "", NULL);
	return say(cli, texts[fact->what], agency, NULL);
}

static void show_fact(struct cli *cli, const struct access_fact *fact)
{
	painted(cli, stdout, DIM, "%s  ", show_moment(cli, fact->at));
	printf("%s", sentence(cli, fact));
	if (fact->purpose != NULL && fact->purpose[0] != '\0')
		printf(" %s", say(cli, T_ACCESS_PURPOSE, fact->purpose, NULL));
	if (fact->on_behalf_of != NULL && fact->on_behalf_of[0] != '\0')
		printf(" %s", say(cli, T_ACCESS_FOR, fact->on_behalf_of, NULL));
	painted(cli, stdout, DIM, "  #%s\n", short_sequence(fact->sequence));
	for (size_t i = 0; i < fact->n_to; i++)
		show_to(cli, &fact->to[i]);
	arena_reset(&cli->shown);
}

static void put(struct buf *out, const char *name, const char *text)
{
	if (text == NULL)
		return;
	(void)buf_printf(out, "%s\"%s\":", out->bytes[out->n - 1] == '{' ? "" : ",", name); /* the buffer remembers its error; so below */
	(void)json_string(out, text);
}

static void write_to(struct buf *out, const struct access_to *to)
{
	(void)buf_text(out, "{");
	put(out, "agency", to->agency);
	(void)buf_text(out, ",\"relations\":[");
	for (size_t i = 0; i < to->n_relations; i++) {
		(void)buf_text(out, i > 0 ? "," : "");
		(void)json_string(out, to->relations[i]);
	}
	(void)buf_text(out, to->consent ? "],\"consent\":true" : "]");
	put(out, "delivered", to->delivered);
	put(out, "acknowledged", to->acked);
	(void)buf_text(out, "}");
}

static void write_fact(const struct access_fact *fact)
{
	static const char *const names[] = {
		[ACCESS_REPORTED] = "reported", [ACCESS_SHOWN] = "shown", [ACCESS_READ] = "read", [ACCESS_READ_ALL] = "read-all", [ACCESS_PROVED] = "proved", [ACCESS_DENIED] = "denied",
		[ACCESS_REFUSED] = "refused", [ACCESS_STALE] = "stale", [ACCESS_ERASE_ORDERED] = "erase-ordered", [ACCESS_ERASE_WITHDRAWN] = "erase-withdrawn",
		[ACCESS_ERASE_CONFIRMED] = "erase-confirmed", [ACCESS_ERASED] = "erased",
	};
	struct buf out;
	buf_init(&out);
	(void)buf_text(&out, "{");
	put(&out, "sequence", fact->sequence);
	put(&out, "at", fact->at);
	put(&out, "what", names[fact->what]);
	put(&out, "agency", fact->agency);
	put(&out, "type", fact->type);
	put(&out, "class", fact->class);
	put(&out, "erased", fact->erased);
	put(&out, "purpose", fact->purpose);
	put(&out, "on_behalf_of", fact->on_behalf_of);
	put(&out, "code", fact->what == ACCESS_DENIED || fact->what == ACCESS_REFUSED ? fact->code : NULL);
	for (size_t i = 0; i < fact->n_to; i++) {
		(void)buf_text(&out, i > 0 ? "," : ",\"to\":[");
		write_to(&out, &fact->to[i]);
	}
	(void)buf_text(&out, fact->n_to > 0 ? "]}" : "}");
	if (out.error == OK)
		(void)puts((const char *)out.bytes); /* found when stdout is flushed */
	buf_release(&out);
}

static int take_access(void *context, const struct object *line)
{
	return access_take(context, line);
}

int report_access(struct cli *cli, const struct replay_question *question, const char *file)
{
	struct access access;
	struct taking taking = {.take = take_access, .context = &access};
	access_init(&access);
	int status = report_take(cli, question, file, &taking);
	for (size_t i = 0; status == DONE && i < access.n; i++)
		if (cli->json)
			write_fact(access.facts[i]);
		else
			show_fact(cli, access.facts[i]);
	if (status == DONE && access.n == 0 && !cli->json)
		puts(text_of(cli, T_NOTHING_IN_SCOPE));
	access_release(&access);
	return status;
}
