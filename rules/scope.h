/* What an auditor may see (domain.md 10): its scope in the configuration - municipalities, types, classes. What is missing there grants nothing. Pure. The one place that decides it. */
#ifndef RULES_SCOPE_H
#define RULES_SCOPE_H

#include "rules/rules.h"

/* code: the destination of a case; NULL (none known): only "*" grants it. The same for types. */
bool scope_municipality(const struct scope *scope, const char *code);
bool scope_type(const struct scope *scope, const char *type);
/* Bits of CLASS_BIT. */
uint32_t scope_classes(const struct scope *scope);
/* All municipalities and all types, and dates at least: what belongs to no case, and what is erased, is for such a scope only. */
bool scope_is_whole(const struct scope *scope);
/* An event, also a stale or refused one, as the auditor may see it: by its municipality, type and class. ERR_NOTFOUND: nothing of it. */
int scope_show(const struct scope *scope, const struct rules_record *record, struct arena *arena, struct shown *ret_shown);

#endif
