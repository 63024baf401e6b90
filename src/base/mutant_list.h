/* mutant_list - every mutant: its name, what it breaks and where that failure was once found. Included by
 * mutant.h and by whatever prints the list; no include guard, on purpose. One line each, by folder. */

/* raft */
PD_MUTANT_ENTRY(RAFT_OLD_TERM_COMMIT, "commits by counting entries of older terms (CCF, libraft; item 8)")

/* wal */

/* kv */

/* node */
