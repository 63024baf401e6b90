/* top_terminal - a terminal that is drawn on in place, and given back as it was: at the end, at
 * every signal that ends the program, and while it is stopped.
 *
 * Model      One a program. Without a terminal at the output nothing is drawn in place, and each
 *            picture follows the one before. */
#ifndef PD_CLI_TOP_TERMINAL_H
#define PD_CLI_TOP_TERMINAL_H

#include <stdbool.h>

void pd_top_terminal_open(void);
void pd_top_terminal_close(void);

/* What may be drawn on; without a terminal no lines are cut. */
void pd_top_terminal_size(int *columns_out, int *lines_out);
bool pd_top_terminal_is_one(void);

/* Begin a picture, one line of it, and show it. */
void pd_top_terminal_begin(void);
void pd_top_terminal_line(const char *text, bool is_strong);
void pd_top_terminal_show(void);

enum pd_top_key {
    PD_TOP_NOTHING = 0, /* the time is over, or the size is another one */
    PD_TOP_QUIT         /* q, or a signal: pd_top_terminal_signal tells */
};
enum pd_top_key pd_top_terminal_wait(int wait_ms);
/* The signal that asked to end; 0: none. */
int pd_top_terminal_signal(void);

#endif
