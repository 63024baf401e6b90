/* sometimes_list - every mark: its name and which rare branch it stands at. Included by sometimes.h
 * and by what prints the table; no include guard, on purpose. One line each, by folder. */

/* raft */
PD_SOMETIMES_ENTRY(RAFT_APPEND_LATE, "an append came that ends before the commit index")
PD_SOMETIMES_ENTRY(RAFT_APPEND_REJECTED, "an append did not fit the follower's log")
PD_SOMETIMES_ENTRY(RAFT_CONFLICT_HINT, "a rejection's hint skipped entries")
PD_SOMETIMES_ENTRY(RAFT_STALE_REJECTION, "a rejection came that was old news")
PD_SOMETIMES_ENTRY(RAFT_WINDOW_FULL, "a follower's window was full")
PD_SOMETIMES_ENTRY(RAFT_VOTE_IGNORED, "a vote request was ignored while a leader was known")
PD_SOMETIMES_ENTRY(RAFT_STALE_LEADER_TOLD, "a leader of an older term was told the newer one")
PD_SOMETIMES_ENTRY(RAFT_CAMPAIGN_HELD_BACK, "a node with an unapplied change did not campaign")
PD_SOMETIMES_ENTRY(RAFT_LEADER_REMOVED, "a leader applied its own removal")
PD_SOMETIMES_ENTRY(RAFT_PROPOSAL_IN_TRANSFER, "a proposal came while the lead was handed over")
PD_SOMETIMES_ENTRY(RAFT_STABLE_ACK_OF_REPLACED,
                   "a write was done of an entry that had been replaced meanwhile")
PD_SOMETIMES_ENTRY(RAFT_SNAPSHOT_FAST_FORWARD, "a snapshot was of an entry that the log held")

/* wal */
PD_SOMETIMES_ENTRY(WAL_SEGMENT_BEGUN, "a batch began a new segment")
PD_SOMETIMES_ENTRY(WAL_RECYCLED, "an old segment became a spare")
PD_SOMETIMES_ENTRY(WAL_NO_SPARE, "a segment was due and could not be had")
PD_SOMETIMES_ENTRY(WAL_RESERVE_GIVEN, "the reserve was given back to a full disk")
PD_SOMETIMES_ENTRY(WAL_RESERVE_BACK, "the reserve was taken again")
PD_SOMETIMES_ENTRY(WAL_TAIL_CUT, "recovery cut a torn tail")

/* kv */
PD_SOMETIMES_ENTRY(KV_SCAN_MERGED,
                   "a scan found rows in the overlay that the store did not show yet")
PD_SOMETIMES_ENTRY(KV_ROW_MISSING, "a command needed a row that was in no memory")
PD_SOMETIMES_ENTRY(KV_KEY_IS_NEW, "a key was known to have no record without a look at the store")
PD_SOMETIMES_ENTRY(KV_HISTORY_LANES, "a page of history fetched for as many events as it may")
PD_SOMETIMES_ENTRY(KV_OVERLAY_FULL, "apply waited because the overlay was full")
PD_SOMETIMES_ENTRY(KV_REPEATED, "a retry was answered from its session")
PD_SOMETIMES_ENTRY(KV_WATCH_FELL_BEHIND,
                   "a watcher did not take its events before the ring went on")
PD_SOMETIMES_ENTRY(KV_WATCH_PAST_RING, "a command had more events than the ring can take")
PD_SOMETIMES_ENTRY(KV_WATCH_PREVIOUS_UNKNOWN, "a watcher went to the store for a previous record")
PD_SOMETIMES_ENTRY(KV_WATCH_WAITS_FOR_READER, "a watcher that is behind found no reader")
PD_SOMETIMES_ENTRY(KV_WATCH_READ_RING, "a watcher caught up from the ring")
PD_SOMETIMES_ENTRY(KV_WATCH_CAUGHT_UP, "a watcher that was behind stepped in")
PD_SOMETIMES_ENTRY(KV_WATCH_READER_SKIPS, "a reader of history went ahead to its first watcher")
PD_SOMETIMES_ENTRY(KV_WATCH_REVISION_SPLIT, "a revision was larger than a page of history")
PD_SOMETIMES_ENTRY(KV_WATCH_PAGE_YIELDS, "the ring went on while its revisions were given out")
PD_SOMETIMES_ENTRY(KV_WATCH_PARKED, "a watcher that was behind ran out of credit")
PD_SOMETIMES_ENTRY(KV_UNDONE, "a command's answer was too large when its rows had left memory")
PD_SOMETIMES_ENTRY(KV_SWEPT, "compacted rows were all removed")

/* node */
PD_SOMETIMES_ENTRY(NODE_PROPOSAL_DROPPED, "another entry took the place of a proposed one")
PD_SOMETIMES_ENTRY(NODE_PROPOSAL_LOST,
                   "a proposal's end could not be known: its client was told so")
PD_SOMETIMES_ENTRY(NODE_READ_ROUND_LOST, "a read's round got no answer and was asked again")
PD_SOMETIMES_ENTRY(NODE_BUSY, "a request was refused because a limit was reached")
PD_SOMETIMES_ENTRY(NODE_APPEND_DROPPED,
                   "entries were not taken from the leader because the log's disk was behind")
PD_SOMETIMES_ENTRY(NODE_STORE_WAITS_FOR_LOG,
                   "rows waited because the log's write of their entries was not durable yet")
PD_SOMETIMES_ENTRY(NODE_READ_AGAIN, "a read of now was overtaken by a compaction and read again")
PD_SOMETIMES_ENTRY(NODE_TIME_CARRIED, "an idle leader's entry took state time on")
PD_SOMETIMES_ENTRY(NODE_TIME_CUT, "a leader's clock jumped by more than an entry may take")
PD_SOMETIMES_ENTRY(NODE_EXPIRED, "a leader proposed the end of a lease or session")
PD_SOMETIMES_ENTRY(NODE_HANDED_OVER, "a leader with a full disk handed the lead over")
PD_SOMETIMES_ENTRY(NODE_STORE_REBUILT, "a lost store was rebuilt from a whole log")
PD_SOMETIMES_ENTRY(NODE_STORE_FETCHED, "a store that was lost or too old was fetched from a peer")
PD_SOMETIMES_ENTRY(NODE_CHUNK_RESENT, "chunks of a snapshot were sent again")
PD_SOMETIMES_ENTRY(NODE_TRANSFER_GIVEN_UP, "a snapshot's receiver was silent for too long")
PD_SOMETIMES_ENTRY(NODE_CHUNK_REFUSED, "a damaged, foreign or misplaced chunk came in")
PD_SOMETIMES_ENTRY(NODE_INSTALL_RESTARTED,
                   "a snapshot was given up half-way, and another one taken")
PD_SOMETIMES_ENTRY(NODE_INSTALL_STALE_TERM,
                   "a snapshot was installed though the term of its message was over")
PD_SOMETIMES_ENTRY(NODE_HASHES_DIFFER, "two replicas that applied the same index were not equal")
PD_SOMETIMES_ENTRY(NODE_INSTALL_FAST_FORWARD,
                   "an installed snapshot's entry was in the log already")
PD_SOMETIMES_ENTRY(NODE_NEWCOMER_TOLD,
                   "a node without a leader was told of a member that joined while it was away")
PD_SOMETIMES_ENTRY(NODE_FORWARD_AGAIN,
                   "a forwarded write that may have happened was asked for again under its number")
PD_SOMETIMES_ENTRY(NODE_FORWARD_LEADS_ITSELF,
                   "what was to be passed on to the leader waited until this node led")
PD_SOMETIMES_ENTRY(NODE_FORWARD_ANSWERED, "another node answered a forwarded request")
PD_SOMETIMES_ENTRY(NODE_FORWARD_LEADS_NO_MORE,
                   "a forwarded request came to a node that did not lead any more")
PD_SOMETIMES_ENTRY(NODE_FORWARD_GIVEN_UP, "no leader took a forwarded request in time")
PD_SOMETIMES_ENTRY(NODE_FORWARD_UNKNOWN, "nobody knows what became of a forwarded request")
PD_SOMETIMES_ENTRY(NODE_FORWARD_SESSION_WAITS, "a forwarded write waited for a number")

/* sim */
PD_SOMETIMES_ENTRY(SIM_CRASH_DURING_WRITE, "a node crashed with an unsynced log write")
PD_SOMETIMES_ENTRY(SIM_CRASH_OF_LEADER, "the leader crashed")
PD_SOMETIMES_ENTRY(SIM_TWO_LEADERS, "an old leader did not yet know of a newer term's leader")
PD_SOMETIMES_ENTRY(SIM_STORE_FELL_BACK, "a crash took applied batches from a store")
PD_SOMETIMES_ENTRY(SIM_BLOCK_TORN, "a crash tore an unsynced block")
PD_SOMETIMES_ENTRY(SIM_NAME_LOST, "a crash took an unsynced name or rename")
PD_SOMETIMES_ENTRY(SIM_ENTRY_LOST, "an entry that some node held was never committed")
PD_SOMETIMES_ENTRY(SIM_CLIENT_RETRY, "a client sent the same request again")
PD_SOMETIMES_ENTRY(SIM_CLIENT_UNKNOWN, "a client gave up: its request may or may not have happened")
PD_SOMETIMES_ENTRY(SIM_CLIENT_ABANDONED,
                   "a client left a request that every asked node had refused")
PD_SOMETIMES_ENTRY(SIM_SESSION_LOST, "a client's session had expired")
PD_SOMETIMES_ENTRY(SIM_DISK_RECOVERED, "a log that had no space got some again")
PD_SOMETIMES_ENTRY(SIM_WATCH_COMPACTED, "a watcher was told that what it wants is compacted")
PD_SOMETIMES_ENTRY(SIM_WATCH_FRAGMENT, "a watcher was given a revision in parts")
PD_SOMETIMES_ENTRY(SIM_REMOVED_TOLD, "another node told a removed one that it was removed")
PD_SOMETIMES_ENTRY(SIM_REMOVED_REFUSED, "what a removed node sent was not let in")
PD_SOMETIMES_ENTRY(SIM_FORWARD_FOREIGN, "a forwarded request was for a process that had ended")
