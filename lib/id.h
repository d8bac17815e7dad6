/* Identifiers: event ids (UUIDv7, RFC 9562), references. */
#ifndef LIB_ID_H
#define LIB_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/clock.h"

#define ID_TEXT_SIZE 37  /* 36 and NUL */
#define REF_MAX 64

/* A new UUIDv7 for that moment: random, and increasing within this process within one ms. */
void id_new(char text[ID_TEXT_SIZE], moment when);
/* The UUIDv7 that `when` and SHA-256 of `seed` determine: what the broker gives its own events. */
void id_derive(char text[ID_TEXT_SIZE], moment when, const void *seed, size_t n);
bool id_is_uuid(const char *text);                        /* any version, 8-4-4-4-12 hex */
int id_parse(const char *text, uint8_t ret_bytes[16]);    /* ERR_INVALID */
/* 1-64 of [A-Za-z0-9._-] (domain.md 3.1). */
bool ref_is_valid(const char *text);
/* Agency ids: 1-32 of [a-z0-9-], not beginning or ending with '-'. */
bool agency_id_is_valid(const char *text);
bool oin_is_valid(const char *text);                      /* 20 digits */

#endif
