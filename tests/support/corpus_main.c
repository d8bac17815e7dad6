/* Plays kept inputs through a fuzz target without libFuzzer, so that every compiler can: corpus/NAME FOLDER.
 * The name of an input is printed before it runs: the last one named is the one that crashed. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { INPUT_MAX = 8 * 1024 * 1024 };

/* Reads a whole file into memory of exactly its size, so that the sanitizer sees a step beyond its end. Caller frees. */
static uint8_t *input_read(const char *path, size_t *ret_n)
{
	FILE *file = fopen(path, "rb");
	if (!file)
		return NULL;
	uint8_t *room = malloc(INPUT_MAX);
	size_t n = room ? fread(room, 1, INPUT_MAX, file) : 0;
	int bad = !room || ferror(file) || n == INPUT_MAX;
	(void)fclose(file); /* only read */
	uint8_t *bytes = bad ? NULL : malloc(n ? n : 1);
	if (bytes) {
		memcpy(bytes, room, n);
		*ret_n = n;
	}
	free(room);
	return bytes;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		(void)fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	struct dirent **names;
	int count = scandir(argv[1], &names, NULL, alphasort);
	if (count < 0) {
		perror(argv[1]);
		return 2;
	}
	int passed = 0, failed = 0;
	for (int i = 0; i < count; i++) {
		char path[4096];
		(void)snprintf(path, sizeof(path), "%s/%s", argv[1], names[i]->d_name);
		int hidden = names[i]->d_name[0] == '.';
		free(names[i]);
		if (hidden)
			continue;
		(void)printf("%s\n", path);
		(void)fflush(stdout);
		size_t n;
		uint8_t *bytes = input_read(path, &n);
		if (bytes) {
			(void)LLVMFuzzerTestOneInput(bytes, n); /* libFuzzer ignores it too, but for -1 */
			passed++;
		} else {
			(void)printf("FAIL %s cannot be read, or is larger than %d bytes\n", path, INPUT_MAX);
			failed++;
		}
		free(bytes);
	}
	free(names);
	(void)printf("%d passed, %d failed\n", passed, failed);
	return failed ? 1 : 0;
}
