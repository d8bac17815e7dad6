/* A backup of the live log: a thread copies one snapshot while turns go on; the loop waits for nothing but its end. What the snapshot covers at least is known when it begins. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "broker/broker.h"
#include "lib/log.h"

struct backup {
	struct broker *broker;
	struct control_call *call;       /* NULL: who asked has gone; the backup is made all the same */
	pthread_t thread;
	int done_fd;                     /* readable when the thread has ended its work */
	char *dir;
	uint64_t sequence;               /* covered */
	int rc;
	struct err err;
};

static void *copy(void *context)
{
	struct backup *backup = context;

	backup->rc = core_backup(backup->broker->core, backup->dir, &backup->err);
	(void)eventfd_write(backup->done_fd, 1); /* the counter is 0: cannot fail */
	return NULL;
}

static void release(struct backup *backup)
{
	if (backup->done_fd >= 0)
		(void)close(backup->done_fd); /* nothing is written to it */
	free(backup->dir);
	free(backup);
}

static void tell(const struct backup *backup)
{
	if (!backup->call)
		return;
	if (!backup->rc)
		(void)control_printf(backup->call, "{\"backup\":true,\"sequence\":%llu}", (unsigned long long)backup->sequence); /* who asked has gone: the log has it */
	control_end(backup->call, backup->rc ? "refused" : NULL, backup->rc ? backup->err.text : NULL);
}

static void on_done(void *context, int fd, unsigned events)
{
	struct backup *backup = context;
	struct broker *broker = backup->broker;
	int rc;

	(void)events;
	turn_settle(broker);
	loop_remove(broker->loop, fd);
	(void)pthread_join(backup->thread, NULL); /* it has ended, or is about to */
	broker->backup = NULL;
	rc = backup->rc ? OK : core_backed_up(broker->core, backup->sequence);
	if (rc == ERR_UNSYNCED)
		broker_die("the store", rc);
	if (rc)
		log_error("the backup is there, and up to where could not be written down: %s; agents keep more than they need", err_text(rc));
	if (backup->rc == ERR_EXISTS)
		log_warn("backup not begun dir=%s: %s", backup->dir, backup->err.text);
	else if (backup->rc)
		log_error("backup failed dir=%s: %s", backup->dir, backup->err.text);
	else
		log_info("backup written dir=%s sequence=%llu", backup->dir, (unsigned long long)backup->sequence);
	tell(backup);
	release(backup);
}

static int start(struct backup *backup, struct err *err)
{
	sigset_t all, before;
	int rc = loop_add(backup->broker->loop, backup->done_fd, LOOP_READ, on_done, backup);

	if (rc)
		return err_set(err, rc, "no room in the event loop");
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are the loop's */
	rc = pthread_create(&backup->thread, NULL, copy, backup);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!rc)
		return OK;
	loop_remove(backup->broker->loop, backup->done_fd);
	return err_set(err, ERR_NOMEM, "no thread for the copy: %s", strerror(rc));
}

int backup_begin(struct broker *broker, struct control_call *call, const char *dir, struct err *err)
{
	struct backup *backup;
	struct core_status status = { 0 };
	int rc;

	if (broker->backup)
		return err_set(err, ERR_BUSY, "a backup is being written; wait for its end");
	backup = calloc(1, sizeof *backup);
	if (!backup)
		return err_set(err, ERR_NOMEM, "out of memory");
	*backup = (struct backup){ .broker = broker, .call = call, .dir = strdup(dir), .done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	rc = !backup->dir || backup->done_fd < 0 ? err_set(err, ERR_NOMEM, "out of memory or descriptors") : core_status(broker->core, &status);
	backup->sequence = status.last_sequence;
	if (!rc)
		rc = start(backup, err);
	if (rc)
		release(backup);
	else
		broker->backup = backup;
	return rc;
}

void backup_gone(struct broker *broker, const struct control_call *call)
{
	if (broker->backup && broker->backup->call == call)
		broker->backup->call = NULL;
}

void backup_end(struct broker *broker)
{
	struct backup *backup = broker->backup;

	if (!backup)
		return;
	(void)pthread_join(backup->thread, NULL); /* half a copy would have to be made again */
	loop_remove(broker->loop, backup->done_fd);
	if (!backup->rc)
		log_info("backup written dir=%s sequence=%llu", backup->dir, (unsigned long long)backup->sequence);
	broker->backup = NULL;
	release(backup);
}
