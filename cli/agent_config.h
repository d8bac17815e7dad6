/* The keys of an agent's configuration, as far as the command knows them. */
#ifndef CLI_AGENT_CONFIG_H
#define CLI_AGENT_CONFIG_H

#include "lib/conf.h"

extern const struct conf_row cli_agent_rows[];

#endif
