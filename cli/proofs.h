/* The commands about proof, as rows of main.c take them. */
#ifndef CLI_PROOFS_H
#define CLI_PROOFS_H

#include "cli/cli.h"

int prove_main(struct cli *cli, int argc, char **argv);    /* prove.c: asks the broker for the bundle of a case */
int verify_main(struct cli *cli, int argc, char **argv);   /* verify.c: checks a bundle, or a whole store; offline */

#endif
