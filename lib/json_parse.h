/* Between json_parse.c and json_event.c. */
#ifndef LIB_JSON_PARSE_H
#define LIB_JSON_PARSE_H

#include "lib/json.h"
#include "lib/json_tree.h"
#include "lib/pb_field.h"

/* json_to_message from a tree. */
int json_node_to_message(const struct json_node *node, const ProtobufCMessageDescriptor *type, struct arena *arena, void *ret_message, struct err *err);

#endif
