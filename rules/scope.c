#include "rules/scope.h"

#include <string.h>

static bool granted(const char *const *list, size_t n, const char *wanted)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], "*") || (wanted && !strcmp(list[i], wanted)))
			return true;
	return false;
}

bool scope_municipality(const struct scope *scope, const char *code)
{
	return granted(scope->municipalities, scope->n_municipalities, code);
}

bool scope_type(const struct scope *scope, const char *type)
{
	return granted(scope->types, scope->n_types, type);
}

uint32_t scope_classes(const struct scope *scope)
{
	return (scope->class_a ? CLASS_BIT(REENTRY__CLASS__VALUE__A) : 0) | (scope->class_b ? CLASS_BIT(REENTRY__CLASS__VALUE__B) : 0) |
	       (scope->class_c ? CLASS_BIT(REENTRY__CLASS__VALUE__C) : 0) | (scope->class_d ? CLASS_BIT(REENTRY__CLASS__VALUE__D) : 0);
}

bool scope_is_whole(const struct scope *scope)
{
	return scope->class_a && scope_municipality(scope, NULL) && scope_type(scope, NULL);
}

int scope_show(const struct scope *scope, const struct rules_record *record, struct arena *arena, struct shown *ret_shown)
{
	if (!record->event || !record->envelope || !record->envelope->type)
		return ERR_NOTFOUND;
	if (!scope_municipality(scope, record->event->municipality) || !scope_type(scope, record->envelope->type))
		return ERR_NOTFOUND;
	return rules_show_classes(record, scope_classes(scope), arena, ret_shown);
}
