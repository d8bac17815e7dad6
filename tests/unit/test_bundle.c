/* Proves that a bundle holds when nothing was changed, also after an erasure and without the right to see bodies, and that anything else is found: every byte flipped, every line left out,
 * doubled, moved or taken from another bundle, a missing witness, a wrong key, a body that is not the recorded one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core_internal.h"
#include "broker/core_prove.h"
#include "cli/bundle.h"
#include "tests/unit/core_place.h"

static struct bundle_key witness_key = { .path = "gm-a.pub" };
static struct note_key witness = { .name = "gm-a", .kind = NOTE_COSIGNATURE };
static uint8_t witness_seed[KEY_SIZE];

static bool everything(void *context, const struct core_record *record)
{
	(void)context;
	(void)record;
	return true;
}

static bool only_class_a(void *context, const struct core_record *record)
{
	(void)context;
	return record->header->has_class_ && record->header->class_ == REENTRY__CLASS__VALUE__A;
}

/* --- making one ------------------------------------------------------------------------------------------------------------------ */

static void issue(struct core_place *place, bool cosign)
{
	struct note_signer signer = { .name = "gm-a", .kind = NOTE_COSIGNATURE, .seed = witness_seed, .time = 1801558800 };
	const char *note;
	struct buf signed_note;

	place_begin(place);
	assert_int_equal(core_checkpoint(place->core, &place->arena, &note), OK);
	place_commit(place);
	if (!cosign)
		return;
	buf_init(&signed_note);
	assert_int_equal(buf_text(&signed_note, note), OK);
	assert_int_equal(note_sign(&signed_note, &signer, &place->err), OK);
	place_begin(place);
	assert_int_equal(core_cosign(place->core, &witness, (const char *)signed_note.bytes, signed_note.n, &place->err), OK);
	place_commit(place);
	buf_release(&signed_note);
}

static void small_case(struct core_place *place, const char *subject)
{
	place_accept(place, "pi-a", "custody.started", subject, "{\"start\":\"2027-02-01T08:00:00+01:00\",\"origin\":\"0344\",\"destination\":\"0344\"}");
	place_accept(place, "pi-a", "need.screened", subject, "{\"need\":\"ADDICTION\",\"status\":\"OPEN\"}");
	place_ack_all(place, "gm-a");
}

static struct buf prove(struct core_place *place, const char *subject, bool (*may)(void *, const struct core_record *), bool with_witness)
{
	struct prove_options options = { .subject = subject, .witnesses = &witness, .n_witnesses = with_witness, .may = may };
	struct buf out;

	buf_init(&out);
	if (core_prove(place->core, &options, &place->arena, &out, &place->err))
		fail_msg("%s", place->err.text);
	return out;
}

static int make_place(void **state)
{
	memset(witness_seed, 4, sizeof witness_seed);
	crypt_sign_public(witness_seed, witness.public_key);
	memcpy(witness_key.public_key, witness.public_key, KEY_SIZE);
	return core_place_make(state);
}

/* --- checking one ------------------------------------------------------------------------------------------------------------------ */

struct seen { size_t faults, events, bodies; char text[4096]; };

static void on_fault(void *context, size_t line, const char *text)
{
	struct seen *seen = context;
	size_t n = strlen(seen->text);

	seen->faults++;
	(void)snprintf(seen->text + n, sizeof seen->text - n, "%zu: %s\n", line, text); /* cut to fit */
}

static void on_record(void *context, const struct bundle_record *record)
{
	struct seen *seen = context;

	seen->events += record->header->kind == REENTRY__RECORD_KIND__VALUE__EVENT;
	seen->bodies += record->body != NULL;
}

static struct bundle_result check(struct core_place *place, const void *bytes, size_t n, bool with_witness, struct seen *seen)
{
	struct bundle_options options = { .witnesses = &witness_key, .n_witnesses = with_witness, .fault = on_fault, .record = on_record, .context = seen };
	struct bundle_result result;

	*seen = (struct seen){ 0 };
	crypt_sign_public(place->signing, options.log_key);
	assert_int_equal(bundle_check(bytes, n, &options, &result), OK);
	assert_int_equal(result.faults, seen->faults);
	return result;
}

static struct bundle_result assert_holds(struct core_place *place, const struct buf *bundle, bool with_witness)
{
	struct seen seen;
	struct bundle_result result = check(place, bundle->bytes, bundle->n, with_witness, &seen);

	if (seen.faults)
		fail_msg("%s", seen.text);
	return result;
}

static void assert_found(struct core_place *place, const char *bytes, const char *what)
{
	struct seen seen;

	(void)check(place, bytes, strlen(bytes), true, &seen);
	assert_true(seen.faults > 0);
	if (!strstr(seen.text, what))
		fail_msg("%s is not named: %s", what, seen.text);
}

/* --- tests -------------------------------------------------------------------------------------------------------------------------- */

static void a_bundle_holds(void **state)
{
	struct core_place *place = *state;
	struct bundle_result result;
	struct seen seen;
	struct buf bundle;
	uint64_t size;

	small_case(place, "C-1");
	small_case(place, "C-2");
	place_accept(place, "pi-a", "release.date-set", "C-1", "{\"date\":\"2027-02-25\",\"kind\":\"EXPECTED\"}");
	size = place_last(place);
	issue(place, true);
	place_accept(place, "pi-a", "release.date-set", "C-1", "{\"date\":\"2027-03-25\",\"kind\":\"EXPECTED\"}"); /* newer than the checkpoint */
	bundle = prove(place, "C-1", everything, true);
	result = assert_holds(place, &bundle, true);
	assert_int_equal(result.size, size);
	assert_string_equal(result.reference, "C-1");
	assert_string_equal(result.origin, "urn:nld:oin:00000099000000000001:systeem:broker");
	assert_int_equal(result.cosigned, 1);
	assert_int_equal(result.cosigned_at, 1801558800);
	(void)check(place, bundle.bytes, bundle.n, true, &seen);
	assert_true(seen.events >= 4 && seen.bodies == seen.events);
	assert_true(result.records > seen.events); /* the acknowledgement too */
	assert_null(memmem(bundle.bytes, bundle.n, "C-2", 3));
	buf_release(&bundle);
	bundle = prove(place, "C-1", everything, false); /* nobody asks for a witness: none is in it */
	(void)assert_holds(place, &bundle, false);
	buf_release(&bundle);
}

static void bodies_are_for_those_who_may(void **state)
{
	struct core_place *place = *state;
	struct buf all, some, none;
	struct seen seen;

	small_case(place, "C-1");
	issue(place, true);
	all = prove(place, "C-1", everything, true);
	some = prove(place, "C-1", only_class_a, true);
	none = prove(place, "C-1", NULL, true);
	assert_true(assert_holds(place, &all, true).opened > assert_holds(place, &some, true).opened);
	assert_true(assert_holds(place, &some, true).opened >= 1);
	assert_int_equal(assert_holds(place, &none, true).opened, 0);
	(void)check(place, none.bytes, none.n, true, &seen);
	assert_true(seen.events >= 2 && seen.bodies == 0);
	buf_release(&all);
	buf_release(&some);
	buf_release(&none);
}

static void it_holds_after_an_erasure(void **state)
{
	struct core_place *place = *state;
	struct bundle_result result;
	struct buf bundle;
	size_t n;

	small_case(place, "C-1");
	issue(place, true);
	bundle = prove(place, "C-1", everything, true);
	place_begin(place);
	assert_int_equal(core_erase_order(place->core, "C-1", "uid:1", "request 14", &place->err), OK);
	assert_int_equal(core_erase_confirm(place->core, "C-1", "uid:2", "request 14", &place->err), OK);
	place_commit(place);
	assert_int_equal(core_erase_run(place->core, place->now, &n, &place->err), OK);
	(void)assert_holds(place, &bundle, true); /* one from before */
	buf_release(&bundle);
	issue(place, true);
	bundle = prove(place, "C-1", everything, true);
	result = assert_holds(place, &bundle, true);
	assert_int_equal(result.opened, 4); /* order, confirmation, erasure.due, execution */
	assert_true(result.records >= 7);
	buf_release(&bundle);
}

static void every_flipped_byte_is_found(void **state)
{
	struct core_place *place = *state;
	struct buf bundle;
	struct seen seen;

	small_case(place, "C-1");
	issue(place, true);
	bundle = prove(place, "C-1", everything, true);
	(void)assert_holds(place, &bundle, true);
	for (size_t at = 0; at < bundle.n; at++) {
		uint8_t was = bundle.bytes[at];

		bundle.bytes[at] ^= (uint8_t)(1u << at % 8);
		(void)check(place, bundle.bytes, bundle.n, true, &seen);
		if (!seen.faults)
			fail_msg("byte %zu of %zu, 0x%02x made 0x%02x, is not found", at, bundle.n, was, bundle.bytes[at]);
		bundle.bytes[at] = was;
	}
	for (size_t n = 0; n < bundle.n; n += 97) { /* cut short */
		(void)check(place, bundle.bytes, n, true, &seen);
		assert_true(seen.faults > 0);
	}
	buf_release(&bundle);
}

/* Lines of the bundle, each with its newline; the list ends with NULL. */
static char **lines_of(struct core_place *place, const struct buf *bundle, size_t *ret_n)
{
	char **lines = NULL, **line;
	const char *at = (const char *)bundle->bytes;

	*ret_n = 0;
	while (*at) {
		size_t n = strcspn(at, "\n") + 1;

		line = ARENA_PUSH(&place->arena, lines, *ret_n);
		assert_non_null(line);
		*line = arena_printf(&place->arena, "%.*s", (int)n, at);
		at += n;
	}
	return lines;
}

static const char *joined(struct core_place *place, char **lines, size_t n)
{
	char *text = arena_printf(&place->arena, "%s", "");

	for (size_t i = 0; i < n; i++)
		text = arena_printf(&place->arena, "%s%s", text, lines[i]);
	return text;
}

static void every_moved_line_is_found(void **state)
{
	struct core_place *place = *state;
	struct buf bundle, other;
	char **lines, **others, *kept;
	size_t n, n_others;

	small_case(place, "C-1");
	small_case(place, "C-2");
	issue(place, true);
	bundle = prove(place, "C-1", everything, true);
	other = prove(place, "C-2", everything, true);
	lines = lines_of(place, &bundle, &n);
	others = lines_of(place, &other, &n_others);
	assert_true(n > 5 && n_others == n);
	for (size_t i = 0; i < n; i++) {
		kept = lines[i];
		lines[i] = arena_strdup(&place->arena, "");
		assert_found(place, joined(place, lines, n), ": ");                                       /* left out */
		lines[i] = arena_printf(&place->arena, "%s%s", kept, kept);
		assert_found(place, joined(place, lines, n), ": ");                                       /* twice */
		if (i + 1 < n) {
			lines[i] = lines[i + 1];
			lines[i + 1] = kept;
			assert_found(place, joined(place, lines, n), ": ");                               /* exchanged */
			lines[i + 1] = lines[i];
		}
		if (i > 0 && i + 1 < n) {
			lines[i] = others[i];
			assert_found(place, joined(place, lines, n), "is not of case C-1");               /* of another bundle */
		}
		lines[i] = kept;
	}
	/* One of the case's own records left out, with the count made to fit: the next one names it. */
	kept = lines[2];
	lines[2] = arena_strdup(&place->arena, "");
	lines[n - 1] = arena_printf(&place->arena, "{\"end\":1,\"records\":%zu}\n", n - 3);
	assert_found(place, joined(place, lines, n), "is left out");
	lines[2] = kept;
	buf_release(&bundle);
	buf_release(&other);
}

static void keys_and_witnesses_must_be_the_right_ones(void **state)
{
	struct core_place *place = *state;
	struct buf bundle, without;
	struct seen seen;

	small_case(place, "C-1");
	issue(place, true);
	bundle = prove(place, "C-1", everything, true);
	without = prove(place, "C-1", everything, false);
	(void)check(place, bundle.bytes, bundle.n, false, &seen); /* it lists a witness whose key is not given */
	assert_non_null(strstr(seen.text, "the witness gm-a is needed"));
	(void)check(place, without.bytes, without.n, true, &seen); /* a witness is asked for that has not signed */
	assert_non_null(strstr(seen.text, "is not cosigned by the witness of gm-a.pub"));
	witness_key.public_key[0] ^= 1;
	(void)check(place, bundle.bytes, bundle.n, true, &seen);
	assert_true(seen.faults >= 2);
	witness_key.public_key[0] ^= 1;
	place->signing[0] ^= 1;
	(void)check(place, bundle.bytes, bundle.n, true, &seen);
	assert_non_null(strstr(seen.text, "is not signed by the key that was given"));
	place->signing[0] ^= 1;
	(void)assert_holds(place, &bundle, true);
	buf_release(&bundle);
	buf_release(&without);
}

/* The broker itself could not show another body: the commitment is in the tree. */
static void another_body_is_not_the_recorded_one(void **state)
{
	struct core_place *place = *state;
	struct buf bundle, body, salt;
	char **lines;
	char *at;
	size_t n;

	small_case(place, "C-1");
	issue(place, true);
	bundle = prove(place, "C-1", everything, true);
	lines = lines_of(place, &bundle, &n);
	at = strstr(lines[1], ",\"salt\":");
	assert_non_null(at);
	*at = 0;
	buf_init(&body);
	buf_init(&salt);
	assert_int_equal(crypt_base64(&body, "\x18\x01", 2), OK); /* an EventRecord that says: accepted */
	assert_int_equal(crypt_base64(&salt, witness_seed, KEY_SIZE), OK);
	lines[1] = arena_printf(&place->arena, "%s,\"salt\":\"%s\",\"body\":\"%s\"}\n", lines[1], (char *)salt.bytes, (char *)body.bytes);
	assert_found(place, joined(place, lines, n), "the opened body is not the one that was recorded");
	buf_release(&body);
	buf_release(&salt);
	buf_release(&bundle);
}

static void nothing_is_made_without_its_parts(void **state)
{
	struct core_place *place = *state;
	struct prove_options options = { .subject = "C-9", .witnesses = &witness, .n_witnesses = 1 };
	struct buf out;

	buf_init(&out);
	small_case(place, "C-1");
	issue(place, false);
	assert_int_equal(core_prove(place->core, &options, &place->arena, &out, &place->err), ERR_NOTFOUND); /* no such case */
	options.subject = "C-1";
	assert_int_equal(core_prove(place->core, &options, &place->arena, &out, &place->err), ERR_NOTFOUND); /* nobody has cosigned */
	options.n_witnesses = 0;
	assert_int_equal(core_prove(place->core, &options, &place->arena, &out, &place->err), OK);
	small_case(place, "C-2");
	options.subject = "C-2";
	assert_int_equal(core_prove(place->core, &options, &place->arena, &out, &place->err), ERR_NOTFOUND); /* newer than the checkpoint */
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_bundle_holds, make_place, core_place_remove),
		cmocka_unit_test_setup_teardown(bodies_are_for_those_who_may, make_place, core_place_remove),
		cmocka_unit_test_setup_teardown(it_holds_after_an_erasure, make_place, core_place_remove),
		cmocka_unit_test_setup_teardown(every_flipped_byte_is_found, make_place, core_place_remove),
		cmocka_unit_test_setup_teardown(every_moved_line_is_found, make_place, core_place_remove),
		cmocka_unit_test_setup_teardown(keys_and_witnesses_must_be_the_right_ones, make_place, core_place_remove),
		cmocka_unit_test_setup_teardown(another_body_is_not_the_recorded_one, make_place, core_place_remove),
		cmocka_unit_test_setup_teardown(nothing_is_made_without_its_parts, make_place, core_place_remove),
	};

	if (crypt_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
