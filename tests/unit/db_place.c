#include "tests/unit/db_place.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int db_place_make(void **state)
{
	struct db_place *place = calloc(1, sizeof *place);

	if (place == NULL)
		return -1;
	(void)snprintf(place->root, sizeof place->root, "/tmp/test_db-XXXXXX"); /* all three are shorter than their room */
	if (mkdtemp(place->root) == NULL) {
		free(place);
		return -1;
	}
	(void)snprintf(place->dir, sizeof place->dir, "%s/store", place->root);
	(void)snprintf(place->other, sizeof place->other, "%s/other", place->root);
	*state = place;
	return 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status, (void)kind, (void)walk;
	return remove(path);
}

int db_place_remove(void **state)
{
	struct db_place *place = *state;
	int error;

	db_abandon(place->db);
	error = nftw(place->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(place);
	return error;
}
