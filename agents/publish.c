/* Events handed in over the control socket: one receipt line each, in their order; whoever asks waits for the broker's word, but
 * not longer than it wants to. */
#include "agents/agent.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

#define WAIT_MS_MAX 3600000

/* One handed-in event: its line once it is known, else its id for the case that the asker will not wait. */
struct slot { char *line; char *id; };
struct publish {
	struct slot *slots;
	size_t n, told;                 /* lines 0 … told-1 have been sent */
};

static void gone(struct request *request)
{
	struct publish *publish = request->data;
	for (size_t i = 0; i < publish->n; i++) {
		free(publish->slots[i].line);
		free(publish->slots[i].id);
	}
	free(publish->slots);
	free(publish);
}

/* Sends the lines that are known, up to the first that is not; ends the reply after the last. */
static void tell(struct request *request)
{
	struct publish *publish = request->data;
	while (publish->told < publish->n && publish->slots[publish->told].line != NULL) {
		const char *line = publish->slots[publish->told++].line;
		request_line(request, line, strlen(line));
	}
	if (publish->told == publish->n)
		request_end(request, NULL, NULL);
}

static void set_line(struct slot *slot, const struct json_receipt *receipt)
{
	struct buf line;
	buf_init(&line);
	(void)json_receipt_write(&line, receipt); /* the buffer remembers its error */
	free(slot->line);
	size_t n;
	slot->line = line.error == OK ? (char *)buf_take(&line, &n) : NULL;
	if (slot->line == NULL)
		slot->line = strdup("{\"result\":\"refused\",\"code\":\"busy\",\"detail\":\"no memory for the answer: hand it in again\"}"); /* safe whatever it would have said */
	buf_release(&line);
}

static void set_receipt(struct slot *slot, const Reentry__Receipt *receipt)
{
	struct json_receipt shown = {.id = receipt->id != NULL && receipt->id[0] != '\0' ? receipt->id : slot->id, .result = outcome_name(receipt->result),
	                             .sequence = receipt->sequence, .code = receipt->code, .detail = receipt->detail};
	if (shown.code != NULL && shown.code[0] == '\0')
		shown.code = NULL;
	if (shown.detail != NULL && shown.detail[0] == '\0')
		shown.detail = NULL;
	set_line(slot, &shown);
}

static void on_receipt(struct agent *agent, void *context, uint64_t index, const Reentry__Receipt *receipt)
{
	struct request *request = context;
	struct publish *publish = request->data;
	(void)agent;
	set_receipt(&publish->slots[index], receipt);
	tell(request);
}

/* The asker will not wait any longer: what has no receipt is in the outbox, on disk, and goes on from there. */
static void on_timeout(void *context)
{
	struct request *request = context;
	struct publish *publish = request->data;
	outbox_forget(request->agent, request);
	for (size_t i = publish->told; i < publish->n; i++) {
		struct slot *slot = &publish->slots[i];
		if (slot->line == NULL)
			set_line(slot, &(struct json_receipt){.id = slot->id, .result = "queued", .detail = "in the outbox, not yet confirmed"});
	}
	tell(request);
}

static const char *code_of(int r)
{
	switch (r) {
	case ERR_INVALID: return "malformed";
	case ERR_TOOBIG: return "too-large";
	default: return "storage-full";
	}
}

static void hand_in(struct request *request, size_t index, const struct json_value *line)
{
	struct agent *agent = request->agent;
	struct publish *publish = request->data;
	struct slot *slot = &publish->slots[index];
	struct outbox_put put = {0};
	struct err err;
	int r = line->kind == JSON_STRING ? outbox_hand_in(agent, line->text, line->n, NULL, &put, &err) : err_set(&err, ERR_INVALID, "not a line of text");
	slot->id = put.id != NULL ? strdup(put.id) : NULL;
	if (r == OK && put.receipt != NULL)
		set_receipt(slot, put.receipt);
	else if (r == OK)
		r = outbox_wait(agent, put.number, on_receipt, request, index) == OK ? OK : err_set(&err, ERR_FULL, "too many events wait for receipts: try later");
	if (r != OK)
		set_line(slot, &(struct json_receipt){.id = slot->id, .result = "refused", .code = code_of(r), .detail = err.text});
}

static void begin(struct agent *agent, void *context, uint64_t n, int result)
{
	(void)agent;
	(void)n;
	(void)result; /* those waited for hear of a failed commit from the outbox */
	tell(context);
}

void request_publish(struct request *request, const struct request_input *input, struct arena *arena)
{
	const struct json_value *lines = input_list(input, "lines");
	struct publish *publish = calloc(1, sizeof *publish);
	(void)arena;
	if (lines == NULL || lines->n == 0 || lines->n > REQUEST_LINES_MAX || publish == NULL || (publish->slots = calloc(lines->n, sizeof *publish->slots)) == NULL) {
		free(publish);
		request_end(request, "malformed", "lines: 1 to 4096 events, each as text");
		return;
	}
	publish->n = lines->n;
	request->data = publish;
	request->gone = gone;
	for (size_t i = 0; i < lines->n; i++)
		hand_in(request, i, &lines->items[i]);
	int64_t wait = input_number(input, "wait_ms", 5000);
	request->timer = (struct loop_timer){.fn = on_timeout, .context = request};
	if (loop_timer_set(request->agent->loop, &request->timer, wait < 0 ? 0 : wait > WAIT_MS_MAX ? WAIT_MS_MAX : wait) != OK)
		log_warn("request=publish why=\"too many timers\" effect=\"waits without bound\"");
	/* After the commit of this turn, also when every line was refused here: whatever was taken in is on disk before any word of it. */
	turn_after(request->agent, begin, request, 0);
}
