/* The folder of a rehearsal's own store: in memory where there is a file system for that, locked while its process lives, and gone with it. What was killed leaves its
 * folder behind; the next rehearsal of the same user removes it. */
#ifndef CLI_REHEARSE_FOLDER_H
#define CLI_REHEARSE_FOLDER_H

#define REHEARSE_FOLDER_MAX 256

struct rehearse_folder { char path[REHEARSE_FOLDER_MAX]; int fd; }; /* path empty: none */

/* OK, or ERR_IO with errno when no place can be written. */
int rehearse_folder_make(struct rehearse_folder *ret_folder);
/* Best effort. Also without one. */
void rehearse_folder_remove(struct rehearse_folder *folder);

#endif
