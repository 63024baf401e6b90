/* mutant_list - every mutant: its name, what it breaks and where that failure was once found.
 * Included by mutant.h and by whatever prints the list; no include guard, on purpose. One line
 * each, by folder. */

/* raft */
PD_MUTANT_ENTRY(RAFT_OLD_TERM_COMMIT,
                "commits by counting entries of older terms (CCF, libraft; item 8)")
PD_MUTANT_ENTRY(RAFT_VOTE_BEFORE_SYNC,
                "a vote leaves before it is durable (item 1; hashicorp/raft#661)")
PD_MUTANT_ENTRY(RAFT_ACK_BEFORE_SYNC, "acks, the own one included, leave before the write is "
                                      "durable (items 14, 17; etcd#14370, NATS 2.12.1)")
PD_MUTANT_ENTRY(
    RAFT_FULL_WINDOW_SILENT,
    "a full window sends no empty append: lost ones stall for good (item 12; etcd#14633)")
PD_MUTANT_ENTRY(RAFT_HEARTBEAT_COMMIT_UNMATCHED,
                "a heartbeat tells a commit index that the follower was not shown to hold (item 9)")
PD_MUTANT_ENTRY(RAFT_JOINT_ONE_HALF_COMMITS,
                "a joint configuration commits with the incoming half alone (item 21; Redis-Raft)")
PD_MUTANT_ENTRY(RAFT_STALE_REJECT,
                "an old rejection takes back what is known to match (item 12; cockroach#106793)")
PD_MUTANT_ENTRY(RAFT_REJECTION_IGNORED,
                "what a follower refused is sent again as it was (item 11; yugabyte#32876)")
PD_MUTANT_ENTRY(RAFT_COMMIT_ON_NACK, "a rejection counts as an acknowledgement (CCF)")
PD_MUTANT_ENTRY(RAFT_SNAPSHOT_FAILURE_KEPT, "a failed snapshot counts as arrived (item 18)")
PD_MUTANT_ENTRY(RAFT_COMMIT_UNVERIFIED,
                "a follower commits beyond what the append verified (item 9)")
PD_MUTANT_ENTRY(RAFT_ACK_UNVERIFIED,
                "a follower acknowledges beyond what the append verified (item 9)")
PD_MUTANT_ENTRY(RAFT_SNAPSHOT_KEEPS_CONF,
                "a snapshot does not reset the configuration (item 19; dqlite#323)")
PD_MUTANT_ENTRY(RAFT_CAMPAIGN_UNAPPLIED_CONF,
                "campaigns with committed changes unapplied (item 5; etcd#7280)")
PD_MUTANT_ENTRY(RAFT_VOTES_TWICE, "votes for two candidates in one term (items 1, 2; RethinkDB)")
PD_MUTANT_ENTRY(RAFT_VOTE_IGNORES_LOG, "votes for a candidate whose log is behind (item 2)")
PD_MUTANT_ENTRY(RAFT_LEARNER_SILENT, "a learner does not answer vote requests (item 6)")
PD_MUTANT_ENTRY(RAFT_UNION_TALLY, "elections count the union of both halves (item 21; CCF)")
PD_MUTANT_ENTRY(RAFT_EARLY_APPEND_TRUNCATES,
                "an append that arrives late truncates what followed it (item 10; CCF)")
PD_MUTANT_ENTRY(RAFT_STABLE_ACK_WITHOUT_TERM,
                "a write is taken for that of an entry which replaced it (item 15)")
PD_MUTANT_ENTRY(RAFT_SNAPSHOT_ACK_BY_TERM,
                "the snapshot part of an older term's write is lost (item 15)")
PD_MUTANT_ENTRY(RAFT_VOTE_IN_LEASE,
                "answers vote requests while a leader is known to live (item 4)")
PD_MUTANT_ENTRY(RAFT_PREVOTE_BUMPS_TERM, "a pre-vote changes terms (item 3)")
PD_MUTANT_ENTRY(RAFT_STALE_TERM_SILENT,
                "a leader of an older term is not told: stuck for good (item 4; Cloudflare 2020)")
PD_MUTANT_ENTRY(RAFT_SESSION_IGNORED, "acks of a removed and re-added node count (item 22)")
PD_MUTANT_ENTRY(RAFT_EMPTY_ENTRY_REFUSED, "the uncommitted limit refuses empty entries (item 13)")
PD_MUTANT_ENTRY(RAFT_PROPOSES_IN_TRANSFER, "a leader takes proposals while it hands over (item 7)")
PD_MUTANT_ENTRY(RAFT_RETIRES_EARLY,
                "a node that was removed answers no votes, though others may not "
                "know yet that it was (item 22; CCF)")
PD_MUTANT_ENTRY(RAFT_REMOVED_STILL_LEADS, "a removed leader leads on (item 22)")
PD_MUTANT_ENTRY(RAFT_TWO_CONF_CHANGES,
                "proposes a change while another is unapplied (item 20; Redis-Raft)")
PD_MUTANT_ENTRY(RAFT_READ_BEFORE_OWN_COMMIT,
                "serves reads before a commit of its own term (item 23; etcd#7331)")
PD_MUTANT_ENTRY(RAFT_READ_WITHOUT_ROUND,
                "serves reads without asking a quorum (item 23; etcd 2014)")
PD_MUTANT_ENTRY(RAFT_READ_TOKEN_REUSED,
                "an answer to an older round confirms a newer read (item 23; etcd#20418)")
PD_MUTANT_ENTRY(RAFT_LEASE_SURVIVES_TRANSFER,
                "a lease outlives the hand-over of leadership (item 7; TiKV#9208)")
PD_MUTANT_ENTRY(RAFT_LEASE_WITHOUT_ROUND,
                "a leader with other voters answers as if it were the only one (item 24)")
PD_MUTANT_ENTRY(RAFT_LEASE_FROM_ANSWER,
                "a lease counts from the answer, not from the sending (item 24)")

/* wal */
PD_MUTANT_ENTRY(WAL_CRC_IGNORED, "records are believed without their checksums and chain")
PD_MUTANT_ENTRY(WAL_STALE_BATCH, "a batch of another sequence is taken for the next one")
PD_MUTANT_ENTRY(WAL_NO_SYNC, "a batch is told durable without a sync (NATS 2.12.1, lazy fsync)")
PD_MUTANT_ENTRY(WAL_NO_NAME_SYNC, "a new segment's name is not made durable (etcd#6368)")
PD_MUTANT_ENTRY(WAL_VOTE_NOT_CARRIED, "a new segment begins without the hard states (storage.md)")
PD_MUTANT_ENTRY(WAL_CUT_TOO_EARLY, "a segment is recycled while a group needs its entries")
PD_MUTANT_ENTRY(WAL_RECOVERY_NOT_SYNCED,
                "what a killed process had not synced is gone on from, and not synced either")
PD_MUTANT_ENTRY(WAL_RECOVERY_TRUSTS_CACHE,
                "a batch whose sync failed is synced again and not written again")
PD_MUTANT_ENTRY(WAL_TAIL_HIDES_DAMAGE,
                "damage before a sound batch is cut like a torn tail (NATS 2.12.1)")
PD_MUTANT_ENTRY(WAL_SEED_WITHOUT_SEGMENT,
                "what a recycled segment still holds verifies in its new place")
PD_MUTANT_ENTRY(WAL_FIRST_NOT_CARRIED, "a new segment does not say where each group begins")
PD_MUTANT_ENTRY(WAL_BEGINNING_MAY_BE_TORN,
                "damage in a segment's beginning, with the votes in it, is cut like a torn tail")
PD_MUTANT_ENTRY(WAL_TAIL_NOT_ZEROED, "a torn tail is told and left where it is")
PD_MUTANT_ENTRY(WAL_RECYCLE_NOT_SYNCED,
                "the next segment is recycled before the last one's name is durably another")
PD_MUTANT_ENTRY(WAL_RESERVE_KEPT, "a full disk does not get the reserve back")

/* kv */
PD_MUTANT_ENTRY(KV_TIME_BACK, "state time goes back with a slower leader's clock (rule 2)")
PD_MUTANT_ENTRY(KV_SESSION_UNKNOWN_APPLIED, "a command of an expired session is applied (rule 4)")
PD_MUTANT_ENTRY(KV_RETRY_APPLIED, "a retry is applied again (rule 4)")
PD_MUTANT_ENTRY(KV_ANSWER_LOST, "a session's answer is not stored (rule 4)")
PD_MUTANT_ENTRY(KV_LEASE_EXPIRES_EARLY, "an expiry is honoured before its deadline (rule 2)")
PD_MUTANT_ENTRY(KV_DEAD_LEASE_TAKEN,
                "a key is put under a lease that has ended: a lock without its holder (etcd 3.4.3)")
PD_MUTANT_ENTRY(KV_REVOKE_LEAVES_KEYS, "a revoked lease leaves its keys (etcd's data model)")
PD_MUTANT_ENTRY(KV_LEASES_NOT_EXTENDED, "a new leader's extension does nothing (rule 2)")
PD_MUTANT_ENTRY(KV_LOAD_FORGETS_EXTENSION, "a restart forgets a new leader's extension (rule 2)")
PD_MUTANT_ENTRY(KV_SWEEP_TAKES_NEWEST, "compaction removes the version that reads still see")
PD_MUTANT_ENTRY(KV_SWEEP_TOMBSTONE_KEPT, "compaction leaves tombstones for ever")
PD_MUTANT_ENTRY(KV_TORN_ATTACHMENTS, "attachments of a very large command are not removed")
PD_MUTANT_ENTRY(KV_JOINED_ROWS_APART,
                "rows without a revision go to the store before their command "
                "has finished (etcd#13766)")
PD_MUTANT_ENTRY(KV_UNDO_SKIPPED, "rows of a refused command stay in the store")
PD_MUTANT_ENTRY(KV_READ_SEES_UNFINISHED, "a read sees rows of a command that has not finished")
PD_MUTANT_ENTRY(KV_TOMBSTONE_VISIBLE, "a deleted key shows in ranges")
PD_MUTANT_ENTRY(KV_COUNT_OF_GIVEN, "a limited range counts what it gives (etcd's data model)")
PD_MUTANT_ENTRY(KV_SESSION_LOW_IGNORED, "answers below the low mark are kept (rule 4)")
PD_MUTANT_ENTRY(KV_WINDOW_ONE_MORE, "one command more than the window is taken (rule 4)")
PD_MUTANT_ENTRY(KV_TIME_STEP_UNBOUNDED, "one command may move state time by any step (rule 2)")

PD_MUTANT_ENTRY(KV_WATCH_JOIN_GAP, "steps in while one revision is still unread")
PD_MUTANT_ENTRY(KV_WATCH_BEHIND_TWICE, "falls behind to a revision that it was given already")
PD_MUTANT_ENTRY(KV_WATCH_BEHIND_DROPS, "what a slow watcher did not take in time is dropped")
PD_MUTANT_ENTRY(KV_WATCH_COMPACTION_IGNORED, "goes on behind what is compacted, without a word")
PD_MUTANT_ENTRY(KV_WATCH_FILTER_SWAPPED, "noput filters deletions, nodelete filters puts")
PD_MUTANT_ENTRY(KV_WATCH_START_IGNORED, "events below the position are given")
PD_MUTANT_ENTRY(KV_WATCH_PREVIOUS_LOST, "a previous record that is not in memory is left out")
PD_MUTANT_ENTRY(KV_WATCH_FRAGMENT_SILENT, "a part of a revision does not say that more follows")
PD_MUTANT_ENTRY(KV_WATCH_PROGRESS_EARLY, "progress is told while events wait")
PD_MUTANT_ENTRY(KV_WATCH_CREDIT_IGNORED, "answers leave without credit")

/* node */
PD_MUTANT_ENTRY(
    NODE_ANSWER_BEFORE_DURABLE,
    "acks and votes leave before the log write is durable (etcd#14370; items 1, 14, 17)")
PD_MUTANT_ENTRY(NODE_SERVES_AFTER_TRANSFER,
                "goes on as a serving leader after it has lost the lead (TiKV#9208)")
PD_MUTANT_ENTRY(NODE_LOG_CUT_TO_APPLIED, "cuts the log up to what is applied, not what the store "
                                         "holds durably (Redis-Raft: snapshot/log gap)")
PD_MUTANT_ENTRY(NODE_RESTART_FORGETS_CONF,
                "the configuration is not kept with the applied index (dqlite#323)")
PD_MUTANT_ENTRY(NODE_APPLIED_AHEAD_OF_DATA,
                "the store's applied index runs ahead of its rows (etcd#13766)")
PD_MUTANT_ENTRY(NODE_STORE_AHEAD_OF_LOG,
                "the store is given what the node's own log does not hold durably yet")
PD_MUTANT_ENTRY(NODE_READ_WITHOUT_ROUND,
                "reads what is applied here as if leadership were confirmed (etcd 2014)")
PD_MUTANT_ENTRY(NODE_READ_BEFORE_APPLIED,
                "a confirmed read does not wait until its index is applied (item 23)")
PD_MUTANT_ENTRY(NODE_HOT_REVISION_STALE,
                "a read without the core tells an older revision than was acknowledged before it")
PD_MUTANT_ENTRY(NODE_IDLE_TIME_LOST,
                "no entry carries state time on while nobody writes: what is granted then is due "
                "at once (a lock that two held)")
PD_MUTANT_ENTRY(NODE_TIME_RUNS_AHEAD,
                "a leader's clock jumps further than its next entry can take state time")
PD_MUTANT_ENTRY(NODE_BLIND_RETRY, "a session's retry is proposed without its session (TiDB 2.1.7)")
PD_MUTANT_ENTRY(NODE_UNKNOWN_IS_DROPPED, "tells a client that nothing happened when nobody knows")
PD_MUTANT_ENTRY(
    NODE_STARTS_EMPTY,
    "a node whose store is gone starts with an empty one instead of fetching a snapshot")
PD_MUTANT_ENTRY(NODE_CHUNK_CRC_IGNORED, "a snapshot's chunks are believed without their checksums")
PD_MUTANT_ENTRY(NODE_INSTALL_INDEX_FIRST,
                "an incoming snapshot's applied index is written with its first rows (etcd#13766)")
PD_MUTANT_ENTRY(NODE_INSTALL_WITHOUT_DRAINING,
                "a snapshot is installed over what the old state has under way")
PD_MUTANT_ENTRY(NODE_INSTALL_BEFORE_LOG,
                "the store holds a snapshot durably before the log knows of it (Redis-Raft)")
PD_MUTANT_ENTRY(NODE_INSTALL_UNVERIFIED,
                "an installed state is not compared with the hashes that it came with (rule 2)")
PD_MUTANT_ENTRY(NODE_LOG_CUT_DURING_TRANSFER,
                "the log is cut while a snapshot is on its way (item 18)")
PD_MUTANT_ENTRY(NODE_NEWCOMER_UNCONFIRMED,
                "any member gives a state to who has no log and was a learner when it last knew")
PD_MUTANT_ENTRY(NODE_WIPED_VOTER_SERVED,
                "a voter that lost its log is given a state, and votes again (RethinkDB)")
PD_MUTANT_ENTRY(NODE_HASH_MISMATCH_IGNORED, "replicas that differ go on (rule 2)")
PD_MUTANT_ENTRY(NODE_WATCH_CREDIT_NOT_SPENT, "a slow client's watch fills the node's outputs")
PD_MUTANT_ENTRY(NODE_WATCH_SURVIVES_INSTALL,
                "a snapshot takes the state away under a watch, without a word")
PD_MUTANT_ENTRY(NODE_FORWARD_ANSWER_MISTAKEN,
                "an answer that comes late is taken for that of the next request in its place")
PD_MUTANT_ENTRY(NODE_FORWARD_NUMBERED_ANEW,
                "what was on a lost link is passed on again under another number: it happens twice")
PD_MUTANT_ENTRY(NODE_FORWARD_UNKNOWN_IS_REFUSED,
                "tells that nothing was done of what a lost leader may have done")
PD_MUTANT_ENTRY(NODE_REMOVED_LET_IN,
                "who was removed is let in for as long as cluster.json names it")
PD_MUTANT_ENTRY(NODE_WORD_IGNORED,
                "a node that was away while another one joined does not let it in, and stays "
                "behind for as long as that one leads")
PD_MUTANT_ENTRY(NODE_WORD_ADDS_ONLY,
                "who was removed is let in by a node that was away then, though it was told")

/* store */
PD_MUTANT_ENTRY(STORE_INDEX_APART,
                "the applied index is written after its rows, not with them (etcd#13766)")
