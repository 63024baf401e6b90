/* signals - Ctrl-C, SIGTERM and SIGHUP as interrupts of a running program.
 *
 * Model  A thread waits for the signals and calls pd_program_interrupt: no code runs in a
 *        handler. Calls come from one thread. */
#ifndef PD_CLI_SIGNALS_H
#define PD_CLI_SIGNALS_H

struct pd_program;

/* Block SIGINT, SIGTERM and, unless it is ignored, SIGHUP in this thread and those it starts:
 * before pd_program_open. SIGPIPE is ignored: a closed output is an error of the write. */
void pd_signals_block(void);

/* Interrupt `program` at every one of them from now on. NULL, while there is none yet: they
 * end the process, as they do where nobody watches for them. */
void pd_signals_watch(struct pd_program *program);

/* The program is there now: it is the one to interrupt. After pd_signals_watch(NULL). */
void pd_signals_attach(struct pd_program *program);

/* Stop that. */
void pd_signals_stop(void);

/* The number of the last signal, or 0. */
int pd_signals_last(void);

#endif
