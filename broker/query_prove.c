/* "prove": the bundle of a case (docs/audit.md), for an auditor within its scope. It is made in pieces, a stretch of the log for each part; its lines are kept until it has ended, so that a part
 * that could not be sent is sent again as it was. */
#include <stdlib.h>
#include <string.h>

#include "broker/core_prove.h"
#include "broker/query.h"
#include "lib/id.h"
#include "rules/scope.h"

#define RECORDS_ROUND 1024           /* records looked at for one part */
#define WITNESSES_MAX 64
#define BUNDLE_BYTES_MAX ((size_t)256 << 20)

struct proving {
	struct prove prove;
	struct arena arena;              /* of prove */
	struct scope scope;              /* of the asker; its lists are the configuration's: a reload ends the question */
	const struct broker_config *config;
	struct note_key witnesses[WITNESSES_MAX]; size_t n_witnesses;
	struct buf out;
};

/* An opened body is the whole record, so its class must be granted as it is; what is no event belongs to a whole scope. */
static bool may(void *context, const struct core_record *record)
{
	const struct proving *p = context;
	struct shown shown;
	struct arena arena;
	bool seen;

	if (record->header->kind != REENTRY__RECORD_KIND__VALUE__EVENT)
		return scope_is_whole(&p->scope);
	if (!(scope_classes(&p->scope) & CLASS_BIT(record->record.class)))
		return false;
	arena_init(&arena, 0);
	seen = !scope_show(&p->scope, &record->record, &arena, &shown);
	arena_release(&arena);
	return seen;
}

/* Any key of the agency under which it has cosigned; the first one if it has under none. */
static bool add_witness(struct broker *broker, struct proving *p, const char *name)
{
	struct note_key *key = &p->witnesses[p->n_witnesses];
	const struct agency *agency = policy_agency(&broker->config->policy, name);
	bool found = false, cosigned = false;
	const char *note;
	uint64_t size;

	for (size_t i = 0; agency && i < broker->keyring.n && !cosigned; i++) {
		struct note_key candidate = { .name = agency->id, .kind = NOTE_COSIGNATURE };

		if (broker->keyring.entries[i].agency != agency)
			continue;
		memcpy(candidate.public_key, broker->keyring.entries[i].sign_public, KEY_SIZE);
		cosigned = core_checkpoint_cosigned(broker->core, &candidate, 1, &broker->reading, &size, &note) == OK;
		if (!found || cosigned)
			*key = candidate;
		found = true;
	}
	p->n_witnesses += found;
	return found;
}

static int read_witnesses(struct broker *broker, struct query *query, struct proving *p, struct err *err)
{
	char *list = arena_strdup(&query->arena, query_value(query, "witnesses")), *at = NULL;

	for (char *name = list ? strtok_r(list, ",", &at) : NULL; name; name = strtok_r(NULL, ",", &at))
		if (p->n_witnesses == WITNESSES_MAX || !add_witness(broker, p, name))
			return err_set(err, ERR_INVALID, "witnesses: agencies of the configuration, with commas between them, at most %d", WITNESSES_MAX);
	return OK;
}

/* Headers stand in the clear in a bundle: who said and was told something of the case, and when, of all types. A case outside of the scope looks like one that does not exist. */
static int check_scope(struct broker *broker, const struct scope *scope, const char *subject, struct err *err)
{
	Reentry__CaseState *state = NULL;
	int rc;

	if (!scope->class_a || !scope_type(scope, NULL))
		return err_set(err, ERR_DENIED, "a bundle shows that there are records of all types; outside the scope of this auditor");
	rc = core_case(broker->core, subject, &broker->reading, &state);
	if (rc == ERR_ERASED && scope_is_whole(scope))
		return OK;
	if (rc == ERR_NOTFOUND || rc == ERR_ERASED || (!rc && !scope_municipality(scope, state->destination)))
		return err_set(err, ERR_NOTFOUND, "there is no case %s", subject);
	return rc ? err_set(err, rc, "the case cannot be read") : OK;
}

int prove_question_begin(struct broker *broker, struct session *session, struct query *query, struct err *err)
{
	const char *purpose = query_value(query, "purpose"), *subject = query_value(query, "case");
	struct prove_options options = { .subject = subject, .may = may };
	struct proving *p = calloc(1, sizeof *p);
	int rc;

	if (!p)
		return err_set(err, ERR_NOMEM, "try later");
	query->own = p;
	arena_init(&p->arena, 0);
	buf_init(&p->out);
	p->config = broker->config;
	p->scope = session->agency->scope;
	if (!purpose || !purpose[strspn(purpose, " \t")])
		return err_set(err, ERR_INVALID, "purpose: is missing; say why the case is looked at");
	if (!subject || !ref_is_valid(subject))
		return err_set(err, ERR_INVALID, "case: is missing, or no case reference");
	rc = check_scope(broker, &p->scope, subject, err);
	if (!rc)
		rc = read_witnesses(broker, query, p, err);
	options.witnesses = p->witnesses;
	options.n_witnesses = p->n_witnesses;
	options.context = p;
	if (!rc)
		rc = prove_begin(broker->core, &options, &p->arena, &p->prove, &p->out, err);
	if (!rc && query_audit(broker, session, query, false, subject, "started"))
		rc = err_set(err, ERR_IO, "the question could not be recorded, so it was not answered; try later");
	return rc;
}

void prove_question_end(struct query *query)
{
	struct proving *p = query->own;

	if (!p)
		return;
	arena_release(&p->arena);
	buf_release(&p->out);
	free(p);
	query->own = NULL;
}

/* As many of the lines that are there as one part holds. */
static int take_lines(struct broker *broker, struct query *query, struct proving *p, Reentry__Answer *answer)
{
	size_t bytes = 0;

	answer->json = arena_alloc(&broker->reading, ANSWER_MAX * sizeof(char *));
	if (!answer->json)
		return ERR_NOMEM;
	while (query->at.index < p->out.n && answer->n_json < ANSWER_MAX && bytes < net_batch(broker, ANSWER_BYTES)) {
		const char *line = (const char *)p->out.bytes + query->at.index;
		const size_t n = strcspn(line, "\n");
		char *copy = arena_alloc(&broker->reading, n + 1);

		if (!copy)
			return ERR_NOMEM;
		memcpy(copy, line, n);
		answer->json[answer->n_json++] = copy;
		query->at.index += n + 1;
		query->at.given++;
		bytes += n;
	}
	return OK;
}

int prove_question_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err)
{
	struct proving *p = query->own;
	int rc = OK;

	if (p->config != broker->config)
		return err_set(err, ERR_BUSY, "the configuration has changed meanwhile: ask again");
	if (!p->prove.done)
		rc = prove_more(broker->core, &p->prove, RECORDS_ROUND, &p->out, err);
	if (!rc && p->out.n > BUNDLE_BYTES_MAX)
		return err_set(err, ERR_TOOBIG, "the bundle would be larger than 256 MiB");
	if (!rc && take_lines(broker, query, p, answer))
		rc = err_set(err, ERR_NOMEM, "try later");
	answer->last = !rc && p->prove.done && query->at.index >= p->out.n;
	if (answer->last && !query->counted) { /* not again where the part could not be sent */
		query->counted = true;
		if (query_audit(broker, session, query, false, p->prove.options.subject, "finished"))
			rc = err_set(err, ERR_IO, "the end could not be recorded; try later");
	}
	return rc;
}
