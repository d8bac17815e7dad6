/* reentry rehearse: the broker's own core on a simulated clock, with no network, no daemon, and no disk left behind (design.md 5). */
#ifndef CLI_REHEARSE_H
#define CLI_REHEARSE_H

/* argv[0] is "rehearse". Exit status: 0, 1 (failed, one line on stderr), 2 (usage). */
int rehearse_main(int argc, char **argv);

#endif
