/* Whom to telephone: each agency's contact point, role and municipality codes. Nothing in it is about a case, so every agency may ask. */
#include <string.h>

#include "broker/query.h"
#include "lib/json.h"

int directory_begin(struct broker *broker, struct session *session, struct query *query, struct err *err)
{
	(void)broker;
	(void)session;
	(void)query;
	(void)err;
	return OK;
}

static int write_agency(struct buf *out, const struct agency *agency, bool connected)
{
	buf_clear(out);
	(void)buf_printf(out, "{\"agency\":\"%s\",\"role\":\"%s\",\"oin\":\"%s\",\"contact\":", agency->id, role_name(agency->role), agency->oin); /* errors stay in out */
	(void)json_string(out, agency->contact ? agency->contact : "");
	(void)buf_text(out, ",\"codes\":[");
	for (size_t i = 0; i < agency->n_codes; i++)
		(void)buf_printf(out, "%s\"%s\"", i ? "," : "", agency->codes[i]);
	(void)buf_printf(out, "],\"connected\":%s}", connected ? "true" : "false");
	return out->error;
}

int directory_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err)
{
	const struct policy *policy = &broker->config->policy;
	struct buf line;
	int rc = OK;

	(void)session;
	answer->json = arena_alloc(&broker->reading, ANSWER_MAX * sizeof(char *));
	if (!answer->json)
		return err_set(err, ERR_NOMEM, "try later");
	buf_init(&line);
	while (!rc && answer->n_json < ANSWER_MAX && query->at.index < policy->n_agencies) {
		const size_t i = query->at.index++;

		rc = write_agency(&line, &policy->agencies[i], broker->sessions.items[i]->up);
		if (!rc && !(answer->json[answer->n_json++] = arena_dup(&broker->reading, line.bytes, line.n + 1)))
			rc = ERR_NOMEM;
	}
	buf_release(&line);
	answer->last = query->at.index >= policy->n_agencies;
	return rc ? err_set(err, rc, "try later") : OK;
}
