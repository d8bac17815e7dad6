/* A message and all that it holds in one piece of memory: what would have been unpacked again can be copied instead, and packed when somebody asks for the bytes. */
#ifndef LIB_PB_IMAGE_H
#define LIB_PB_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"

#define PB_IMAGE_MAX 65536        /* bytes of one */

/* The caller's memory, `room` bytes behind the struct (a multiple of 16): from its beginning on the message, from its end on the places of the pointers in it. It must not be moved. */
struct pb_image {
	uint32_t n, n_places, room;
	_Alignas(16) uint8_t bytes[];
};

/* Fills an image of image->room bytes; nothing of the message is needed afterwards. False: there is not enough room, or the message has what only protobuf-c knows (oneofs, unknown fields);
 * what was in the image is lost then. */
bool pb_image_fill(struct pb_image *image, const void *message);
/* The room that the message needs; 0: it has no image. The arena lends the memory for trying. */
uint32_t pb_image_room(const void *message, struct arena *arena);
/* The message: in the image, to be read only. */
static inline const void *pb_image_of(const struct pb_image *image) { return image->bytes; }
/* One of the caller's own. NULL: no memory. */
void *pb_image_copy(const struct pb_image *image, struct arena *arena);

#endif
