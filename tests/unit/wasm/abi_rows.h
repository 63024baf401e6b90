/* abi_rows - every function of lunatic::* and pando::*, what each of its arguments is, and what it
 * answers to good ones. The tests derive from it what bad ones are, and what must become of
 * them. */
#ifndef PD_TEST_ABI_ROWS_H
#define PD_TEST_ABI_ROWS_H

#include "abi_furnished.h"
#include "actor/child_spec.h"
#include "wasm/spawn_call.h"

enum role {
    ROLE_END,
    ROLE_ID,     /* of a thing */
    ROLE_OWN_OR, /* likewise, or all ones */
    ROLE_QUIET,  /* of a thing; one that is not there is no trap but the answer `value` */
    ROLE_INDEX,  /* of what the message carries */
    ROLE_FROM,   /* a pointer to what is read: `size` bytes, or as the next argument says */
    ROLE_TEXT,   /* and it must be UTF-8 */
    ROLE_PARTS,  /* and those are pointers and sizes */
    ROLE_TO,     /* a pointer to what is written: likewise */
    ROLE_SIZE,   /* of the pointer before it, in units of `size` bytes */
    ROLE_TYPE,   /* of a socket address: 4 or 6 */
    ROLE_NODE,   /* 0 */
    ROLE_PID,    /* nobody is no error */
    ROLE_MS,     /* how long to wait */
    ROLE_ANY     /* any number does, or traps with the words `says` */
};

struct argument {
    enum role role;
    enum thing thing;
    uint64_t value;
    uint32_t size;
    uint64_t most;         /* of a size: the largest allowed; 0: it is not asked for */
    const char *says;      /* beyond that; of a number: what it may trap with */
    const char *zero_says; /* of a size: what 0 fails with; NULL: it does not */
    const char *far_says;  /* of a size of 64 MiB, if `most` does not say: as `zero_says` */
    uint64_t odd;          /* of a size: one that is refused, with `odd_says` */
    const char *odd_says;
};

struct row {
    const char *module;
    const char *name;
    const char *signature;
    struct argument arguments[PD_CALL_ARGUMENTS_MAX];
    unsigned needs;
    bool has_result;
    uint64_t result;     /* of good arguments; if has_result */
    bool answers_errors; /* 1 is one, its id written */
    bool allocates;      /* it calls lunatic_alloc */
    bool may_wait;       /* for ever, with good arguments */
    bool ends;           /* good arguments end the process */
    uint32_t loses;      /* a bit each: of what a trap takes away */
};

#define ID(what)                                                                                   \
    {                                                                                              \
        .role = ROLE_ID, .thing = what                                                             \
    }
#define OWN_OR(what)                                                                               \
    {                                                                                              \
        .role = ROLE_OWN_OR, .thing = what                                                         \
    }
#define QUIET(what, answer)                                                                        \
    {                                                                                              \
        .role = ROLE_QUIET, .thing = what, .value = answer                                         \
    }
#define INDEX(place, what)                                                                         \
    {                                                                                              \
        .role = ROLE_INDEX, .value = place, .thing = what                                          \
    }
#define FROM(at)                                                                                   \
    {                                                                                              \
        .role = ROLE_FROM, .value = at                                                             \
    }
#define TEXT(at)                                                                                   \
    {                                                                                              \
        .role = ROLE_TEXT, .value = at                                                             \
    }
#define PARTS(at)                                                                                  \
    {                                                                                              \
        .role = ROLE_PARTS, .value = at                                                            \
    }
#define TO(at)                                                                                     \
    {                                                                                              \
        .role = ROLE_TO, .value = at                                                               \
    }
#define IP                                                                                         \
    {                                                                                              \
        .role = ROLE_FROM, .value = IP_AT, .size = 4                                               \
    }
#define WRITTEN(at, bytes)                                                                         \
    {                                                                                              \
        .role = ROLE_TO, .value = at, .size = bytes                                                \
    }
#define OUT(at) WRITTEN(at, 8)
#define SIZE(n)                                                                                    \
    {                                                                                              \
        .role = ROLE_SIZE, .value = n, .size = 1                                                   \
    }
#define COUNT8(n)                                                                                  \
    {                                                                                              \
        .role = ROLE_SIZE, .value = n, .size = 8                                                   \
    }
#define SIZED(n, ...)                                                                              \
    {                                                                                              \
        .role = ROLE_SIZE, .value = n, .size = 1, __VA_ARGS__                                      \
    }
#define TYPE                                                                                       \
    {                                                                                              \
        .role = ROLE_TYPE, .value = 4                                                              \
    }
#define NODE                                                                                       \
    {                                                                                              \
        .role = ROLE_NODE                                                                          \
    }
#define PID(who)                                                                                   \
    {                                                                                              \
        .role = ROLE_PID, .value = who                                                             \
    }
#define WAIT(n)                                                                                    \
    {                                                                                              \
        .role = ROLE_MS, .value = n                                                                \
    }
#define ANY(n)                                                                                     \
    {                                                                                              \
        .role = ROLE_ANY, .value = n                                                               \
    }
#define EITHER(n, words)                                                                           \
    {                                                                                              \
        .role = ROLE_ANY, .value = n, .says = words                                                \
    }
#define GIVES(n) .has_result = true, .result = n
#define GIVES_OR_ERROR .has_result = true, .answers_errors = true
#define SOCKADDR(port) TYPE, IP, ANY(port), ANY(0), ANY(0)

#define GIVES_SOMETHING .has_result = false
#define TIMED_OUT_AT_ONCE GIVES(TIMED_OUT)
#define BYTES_LONG "bytes, where"
#define BEYOND_PARENT "beyond its parent's"

/* --- error, message, timer -------------------------------------------------------------------- */

#define MODULE_OF_ROWS "lunatic::error"
static const struct row error_rows[] = {
    {MODULE_OF_ROWS, "string_size", "I->i", {ID(AN_ERROR)}, GIVES(12)},
    {MODULE_OF_ROWS, "to_string", "Ii->", {ID(AN_ERROR), WRITTEN(OUT_AT, 12)}, GIVES(0)},
    {MODULE_OF_ROWS, "drop", "I->", {ID(AN_ERROR)}, GIVES(0)},
};
#undef MODULE_OF_ROWS

/* A failed access discards the message. */
#define DISCARDS .loses = 1u << COUNT_MESSAGE_BYTES | 1u << COUNT_MESSAGE_RESOURCES

#define MODULE_OF_ROWS "lunatic::message"
static const struct row message_rows[] = {
    {MODULE_OF_ROWS, "create_data", "II->", {ANY(7), ANY(16)}, GIVES(0)},
    {MODULE_OF_ROWS,
     "write_data",
     "ii->i",
     {FROM(DATA_AT), SIZED(4, .far_says = "beyond the largest size allowed")},
     GIVES(4),
     DISCARDS},
    {MODULE_OF_ROWS, "read_data", "ii->i", {TO(DATA_AT), SIZE(4)}, GIVES(4), DISCARDS},
    {MODULE_OF_ROWS, "seek_data", "I->", {ANY(2)}, GIVES(0)},
    {MODULE_OF_ROWS, "get_tag", "->I", GIVES(5)},
    {MODULE_OF_ROWS, "get_process_id", "->I", GIVES(0)},
    {MODULE_OF_ROWS, "data_size", "->I", GIVES(5)},
    {MODULE_OF_ROWS, "push_module", "I->I", {ID(A_MODULE)}, GIVES(1)},
    {MODULE_OF_ROWS, "take_module", "I->I", {INDEX(CARRIES_A_MODULE, A_MODULE)}, GIVES_SOMETHING},
    {MODULE_OF_ROWS, "push_tcp_stream", "I->I", {ID(A_STREAM)}, GIVES(3)},
    {MODULE_OF_ROWS,
     "take_tcp_stream",
     "I->I",
     {INDEX(CARRIES_A_STREAM, A_STREAM)},
     NEEDS_SOCKETS,
     GIVES_SOMETHING},
    {MODULE_OF_ROWS, "push_tls_stream", "I->I", {ID(A_TLS_STREAM)}, GIVES(4)},
    {MODULE_OF_ROWS,
     "take_tls_stream",
     "I->I",
     {INDEX(CARRIES_A_TLS_STREAM, A_TLS_STREAM)},
     NEEDS_TLS,
     GIVES_SOMETHING},
    {MODULE_OF_ROWS, "push_udp_socket", "I->I", {ID(A_DATAGRAM_SOCKET)}, GIVES(3)},
    {MODULE_OF_ROWS,
     "take_udp_socket",
     "I->I",
     {INDEX(CARRIES_A_DATAGRAM_SOCKET, A_DATAGRAM_SOCKET)},
     NEEDS_SOCKETS,
     GIVES_SOMETHING},
    {MODULE_OF_ROWS, "send", "I->i", {PID(OTHER_PID)}, GIVES(0)},
    {MODULE_OF_ROWS,
     "send_receive_skip_search",
     "III->i",
     {PID(OTHER_PID), ANY(9), WAIT(0)},
     TIMED_OUT_AT_ONCE},
    {MODULE_OF_ROWS,
     "send_receive_skip_search",
     "II->i",
     {PID(OTHER_PID), WAIT(0)},
     TIMED_OUT_AT_ONCE},
    {MODULE_OF_ROWS,
     "receive",
     "iiI->i",
     {FROM(TAGS_AT),
      {.role = ROLE_SIZE, .value = 1, .size = 8, .says = "tags are more than the 65536 allowed"},
      WAIT(0)},
     TIMED_OUT_AT_ONCE},
};
#undef MODULE_OF_ROWS

static const struct row timer_rows[] = {
    {"lunatic::timer", "send_after", "II->I", {PID(OTHER_PID), WAIT(1000)}, GIVES_SOMETHING},
    {"lunatic::timer", "cancel_timer", "I->i", {QUIET(A_TIMER, 0)}, GIVES(1)},
};

/* --- process, registry ------------------------------------------------------------------------ */

#define NO_WHOLE_NUMBER "no whole number of 17-byte values"
#define PARAMS                                                                                     \
    FROM(PARAMS_AT),                                                                               \
        SIZED(17, .most = 17 * PD_MODULE_PARAMS_MAX + 16, .says = "more than the 16 allowed",      \
              .far_says = NO_WHOLE_NUMBER, .odd = 18, .odd_says = NO_WHOLE_NUMBER)
#define FUNCTION_OF_SPAWN                                                                          \
    TEXT(FUNCTION_AT), {.role = ROLE_SIZE, .value = 3, .size = 1, .says = "a function name of"},   \
        PARAMS
#define NAME_SIZE(n, words, zero) SIZED(n, .most = PD_NAME_MAX, .says = words, .zero_says = zero)

#define MODULE_OF_ROWS "lunatic::process"
#define SETTER(name)                                                                               \
    {                                                                                              \
        MODULE_OF_ROWS, name, "Ii->", {ID(A_CONFIG), ANY(1)}, GIVES(0)                             \
    }
#define GETTER(name)                                                                               \
    {                                                                                              \
        MODULE_OF_ROWS, name, "I->i", {ID(A_CONFIG)}, GIVES(0)                                     \
    }
static const struct row process_rows[] = {
    {MODULE_OF_ROWS,
     "compile_module",
     "iii->i",
     {FROM(MODULE_AT),
      SIZED(4, .far_says = "larger than modules may be", .zero_says = "not a module"), OUT(OUT_AT)},
     GIVES_OR_ERROR},
    {MODULE_OF_ROWS, "drop_module", "I->", {ID(A_MODULE)}, GIVES(0)},
    {MODULE_OF_ROWS, "create_config", "->I", GIVES_SOMETHING},
    {MODULE_OF_ROWS, "drop_config", "I->", {ID(A_CONFIG)}, GIVES(0)},
    {MODULE_OF_ROWS,
     "config_set_max_memory",
     "II->",
     {ID(A_CONFIG), EITHER(65536, BEYOND_PARENT)},
     GIVES(0)},
    {MODULE_OF_ROWS, "config_get_max_memory", "I->I", {ID(A_CONFIG)}, GIVES(UINT64_C(64) << 20)},
    {MODULE_OF_ROWS, "config_set_max_fuel", "II->", {ID(A_CONFIG), ANY(7)}, GIVES(0)},
    {MODULE_OF_ROWS, "config_get_max_fuel", "I->I", {ID(A_CONFIG)}, GIVES(0)},
    GETTER("config_can_compile_modules"),
    SETTER("config_set_can_compile_modules"),
    GETTER("config_can_create_configs"),
    SETTER("config_set_can_create_configs"),
    GETTER("config_can_spawn_processes"),
    SETTER("config_set_can_spawn_processes"),
    {MODULE_OF_ROWS,
     "spawn",
     "IIIiiiii->i",
     {ANY(5), OWN_OR(A_CONFIG), OWN_OR(A_MODULE), FUNCTION_OF_SPAWN, OUT(OUT_AT)},
     GIVES_OR_ERROR},
    {MODULE_OF_ROWS,
     "get_or_spawn",
     "iiIIIiiiiii->i",
     {TEXT(FRESH_AT), NAME_SIZE(5, "cannot hold the name", "cannot hold the name"), ANY(5),
      OWN_OR(A_CONFIG), OWN_OR(A_MODULE), FUNCTION_OF_SPAWN, OUT(PEER_AT), OUT(OUT_AT)},
     GIVES_OR_ERROR},
    {MODULE_OF_ROWS, "sleep_ms", "I->", {WAIT(0)}, GIVES(0)},
    {MODULE_OF_ROWS, "die_when_link_dies", "i->", {ANY(0)}, GIVES(0)},
    {MODULE_OF_ROWS, "process_id", "->I", GIVES(OWN_PID)},
    {MODULE_OF_ROWS, "environment_id", "->I", GIVES(1)},
    {MODULE_OF_ROWS, "link", "II->", {ANY(3), PID(OTHER_PID)}, GIVES(0)},
    {MODULE_OF_ROWS, "unlink", "I->", {PID(OTHER_PID)}, GIVES(0)},
    {MODULE_OF_ROWS, "monitor", "I->", {PID(OTHER_PID)}, GIVES(0)},
    {MODULE_OF_ROWS, "stop_monitoring", "I->", {PID(OTHER_PID)}, GIVES(0)},
    {MODULE_OF_ROWS, "kill", "I->", {PID(1000000)}, GIVES(0)},
    {MODULE_OF_ROWS, "exists", "I->i", {PID(OTHER_PID)}, GIVES(1)},
};
#undef MODULE_OF_ROWS

#define NAMES_ALLOWED "where 1 to 1024 are allowed"
static const struct row registry_rows[] = {
    {"lunatic::registry",
     "put",
     "iiII->",
     {TEXT(FRESH_AT), NAME_SIZE(5, NAMES_ALLOWED, NAMES_ALLOWED), ANY(0), PID(OWN_PID)},
     GIVES(0)},
    {"lunatic::registry",
     "get",
     "iiii->i",
     {TEXT(NAME_AT), SIZE(4), OUT(OUT_AT), OUT(PEER_AT)},
     GIVES(0)},
    {"lunatic::registry", "remove", "ii->", {TEXT(FRESH_AT), SIZE(5)}, GIVES(0)},
    {"lunatic::registry",
     "get_or_put_later",
     "iiii->i",
     {TEXT(NAME_AT), NAME_SIZE(4, NAMES_ALLOWED, NAMES_ALLOWED), OUT(OUT_AT), OUT(PEER_AT)},
     GIVES(0)},
};

/* --- networking ------------------------------------------------------------------------------- */

#define MODULE_OF_ROWS "lunatic::networking"
#define ON(function, signature, what, ...)                                                         \
    {                                                                                              \
        MODULE_OF_ROWS, function, signature, {ID(what), __VA_ARGS__}, GIVES_OR_ERROR               \
    }
#define GET_TIMEOUT(function, what)                                                                \
    {                                                                                              \
        MODULE_OF_ROWS, function, "I->I", {ID(what)}, GIVES(FOREVER)                               \
    }
#define SET_TIMEOUT(function, what)                                                                \
    {                                                                                              \
        MODULE_OF_ROWS, function, "II->", {ID(what), ANY(3)}, GIVES(0)                             \
    }
#define DROP(function, what)                                                                       \
    {                                                                                              \
        MODULE_OF_ROWS, function, "I->", {ID(what)}, GIVES(0)                                      \
    }
#define CLONE(function, what)                                                                      \
    {                                                                                              \
        MODULE_OF_ROWS, function, "I->I", {ID(what)}, GIVES_SOMETHING                              \
    }
#define NO_OPTION "is no value for this option"
static const struct row networking_rows[] = {
    {MODULE_OF_ROWS,
     "resolve",
     "iiIi->i",
     {TEXT(ADDRESS_AT),
      SIZED(12, .most = 261, .says = "longer than 253 bytes", .zero_says = "host:port is wanted"),
      WAIT(FOREVER), OUT(OUT_AT)},
     GIVES_OR_ERROR},
    {MODULE_OF_ROWS,
     "resolve_next",
     "Iiiiii->i",
     {ID(A_NAME_LIST), WRITTEN(700, 4), WRITTEN(704, 16), WRITTEN(720, 2), WRITTEN(724, 4),
      WRITTEN(728, 4)},
     GIVES(0)},
    DROP("drop_dns_iterator", A_NAME_LIST),
    {MODULE_OF_ROWS, "tcp_bind", "iiiiii->i", {SOCKADDR(0), OUT(OUT_AT)}, GIVES_OR_ERROR},
    ON("tcp_local_addr", "Ii->i", A_LISTENER, OUT(OUT_AT)),
    ON("tcp_peer_addr", "Ii->i", A_STREAM, OUT(OUT_AT)),
    ON("tcp_accept", "Iii->i", A_LISTENER, OUT(OUT_AT), OUT(PEER_AT)),
    {MODULE_OF_ROWS,
     "tcp_connect",
     "iiiiiIi->i",
     {SOCKADDR(LISTENER_PORT), WAIT(FOREVER), OUT(OUT_AT)},
     NEEDS_SOCKETS,
     GIVES_OR_ERROR},
    ON("tcp_write_vectored", "Iiii->i", A_STREAM, PARTS(VECTORS_AT), COUNT8(1), OUT(OUT_AT)),
    ON("tcp_read", "Iiii->i", A_STREAM, TO(DATA_AT), SIZE(4), OUT(OUT_AT)),
    ON("tcp_peek", "Iiii->i", A_STREAM, TO(DATA_AT), SIZE(4), OUT(OUT_AT)),
    ON("tcp_flush", "Ii->i", A_STREAM, OUT(OUT_AT)),
    SET_TIMEOUT("set_read_timeout", A_STREAM),
    GET_TIMEOUT("get_read_timeout", A_STREAM),
    SET_TIMEOUT("set_write_timeout", A_STREAM),
    GET_TIMEOUT("get_write_timeout", A_STREAM),
    SET_TIMEOUT("set_peek_timeout", A_STREAM),
    GET_TIMEOUT("get_peek_timeout", A_STREAM),
    CLONE("clone_tcp_stream", A_STREAM),
    DROP("drop_tcp_listener", A_LISTENER),
    DROP("drop_tcp_stream", A_STREAM),
    {MODULE_OF_ROWS,
     "tls_bind",
     "iiiiiiiiii->i",
     {SOCKADDR(0), OUT(OUT_AT), FROM(ROOT_AT),
      SIZED(ROOT_SIZE, .far_says = "at most 65536 bytes of certificates",
            .zero_says = "the certificate and its key"),
      FROM(ROOT_KEY_AT),
      SIZED(ROOT_KEY_SIZE, .most = 8192, .says = "at most 65536 bytes of certificates",
            .zero_says = "the certificate and its key")},
     GIVES_OR_ERROR},
    ON("tls_local_addr", "Ii->i", A_TLS_LISTENER, OUT(OUT_AT)),
    ON("tls_accept", "Iii->i", A_TLS_LISTENER, OUT(OUT_AT), OUT(PEER_AT)),
    {MODULE_OF_ROWS,
     "tls_connect",
     "iiiIiii->i",
     {TEXT(HOST_AT),
      SIZED(9, .most = 253, .says = "the host is no name", .zero_says = "the host is no name"),
      ANY(TLS_PORT),
      WAIT(0),
      OUT(OUT_AT),
      PARTS(ROOTS_AT),
      {.role = ROLE_SIZE,
       .value = 1,
       .size = 8,
       .most = 256,
       .says = "at most 256 certificates are taken"}},
     NEEDS_TLS,
     TIMED_OUT_AT_ONCE,
     .answers_errors = true},
    ON("tls_write_vectored", "Iiii->i", A_TLS_STREAM, PARTS(VECTORS_AT), COUNT8(1), OUT(OUT_AT)),
    ON("tls_read", "Iiii->i", A_TLS_STREAM, TO(DATA_AT), SIZE(4), OUT(OUT_AT)),
    ON("tls_flush", "Ii->i", A_TLS_STREAM, OUT(OUT_AT)),
    SET_TIMEOUT("set_tls_read_timeout", A_TLS_STREAM),
    GET_TIMEOUT("get_tls_read_timeout", A_TLS_STREAM),
    SET_TIMEOUT("set_tls_write_timeout", A_TLS_STREAM),
    GET_TIMEOUT("get_tls_write_timeout", A_TLS_STREAM),
    CLONE("clone_tls_stream", A_TLS_STREAM),
    DROP("drop_tls_listener", A_TLS_LISTENER),
    DROP("drop_tls_stream", A_TLS_STREAM),
    {MODULE_OF_ROWS, "udp_bind", "iiiiii->i", {SOCKADDR(0), OUT(OUT_AT)}, GIVES_OR_ERROR},
    ON("udp_local_addr", "Ii->i", A_DATAGRAM_SOCKET, OUT(OUT_AT)),
    ON("udp_peer_addr", "Ii->i", A_DATAGRAM_SOCKET, OUT(OUT_AT)),
    ON("udp_receive", "Iiii->i", A_DATAGRAM_SOCKET, TO(DATA_AT), SIZE(4), OUT(OUT_AT)),
    ON("udp_receive_from", "Iiiii->i", A_DATAGRAM_SOCKET, TO(DATA_AT), SIZE(4), OUT(OUT_AT),
       OUT(PEER_AT)),
    ON("udp_send", "Iiii->i", A_DATAGRAM_SOCKET, FROM(DATA_AT),
       SIZED(4, .far_says = "Message too long (os error 90)"), OUT(OUT_AT)),
    ON("udp_send_to", "Iiiiiiiii->i", A_DATAGRAM_SOCKET, FROM(DATA_AT),
       SIZED(4, .far_says = "Message too long (os error 90)"), SOCKADDR(DATAGRAM_PORT),
       OUT(OUT_AT)),
    ON("udp_connect", "IiiiiiIi->i", A_DATAGRAM_SOCKET, SOCKADDR(DATAGRAM_PORT), WAIT(FOREVER),
       OUT(OUT_AT)),
    CLONE("clone_udp_socket", A_DATAGRAM_SOCKET),
    DROP("drop_udp_socket", A_DATAGRAM_SOCKET),
    {MODULE_OF_ROWS, "set_udp_socket_broadcast", "Ii->", {ID(A_DATAGRAM_SOCKET), ANY(1)}, GIVES(0)},
    {MODULE_OF_ROWS, "get_udp_socket_broadcast", "I->i", {ID(A_DATAGRAM_SOCKET)}, GIVES(0)},
    {MODULE_OF_ROWS,
     "set_udp_socket_ttl",
     "Ii->",
     {ID(A_DATAGRAM_SOCKET), EITHER(5, NO_OPTION)},
     GIVES(0)},
    {MODULE_OF_ROWS, "get_udp_socket_ttl", "I->i", {ID(A_DATAGRAM_SOCKET)}, GIVES(64)},
};
#undef MODULE_OF_ROWS

/* --- wasi, sqlite ----------------------------------------------------------------------------- */

#define HOLDS_NO_MORE "a configuration holds no more"
#define EMPTY_OR_ODD "is empty, or contains"
static const struct row wasi_rows[] = {
    {"lunatic::wasi",
     "config_add_environment_variable",
     "Iiiii->",
     {ID(A_CONFIG), TEXT(WORD_AT), SIZED(4, .far_says = HOLDS_NO_MORE, .zero_says = EMPTY_OR_ODD),
      TEXT(WORD_AT), SIZED(4, .far_says = HOLDS_NO_MORE)},
     GIVES(0)},
    {"lunatic::wasi",
     "config_add_command_line_argument",
     "Iii->",
     {ID(A_CONFIG), TEXT(WORD_AT), SIZED(4, .far_says = HOLDS_NO_MORE)},
     GIVES(0)},
    {"lunatic::wasi",
     "config_preopen_dir",
     "Iii->",
     {ID(A_CONFIG), TEXT(FOLDER_AT),
      SIZED(5, .most = PD_FILE_PATH_MAX, .says = EMPTY_OR_ODD, .zero_says = EMPTY_OR_ODD)},
     GIVES(0)},
};

#define BINDS                                                                                      \
    FROM(BINDS_AT), SIZED(16, .far_says = "a list has at most 16777216 bytes",                     \
                          .zero_says = "not a list", .odd = 15, .odd_says = "not a list")
#define MODULE_OF_ROWS "lunatic::sqlite"
static const struct row sqlite_rows[] = {
    {MODULE_OF_ROWS,
     "open",
     "iii->I",
     {TEXT(MEMORY_AT), SIZED(8, .most = 4096, .says = "a database's path has at most"),
      OUT(OUT_AT)},
     GIVES_OR_ERROR},
    {MODULE_OF_ROWS,
     "query_prepare",
     "Iii->I",
     {ID(A_CONNECTION), TEXT(SQL_AT), SIZED(8, .far_says = "SQL has at most 1048576 bytes")},
     GIVES_SOMETHING},
    {MODULE_OF_ROWS, "execute", "Iii->i", {ID(A_CONNECTION), TEXT(SQL_AT), SIZE(8)}, GIVES(0)},
    {MODULE_OF_ROWS, "bind_value", "Iii->", {ID(A_STATEMENT), BINDS}, GIVES(0)},
    {MODULE_OF_ROWS, "sqlite3_changes", "I->i", {ID(A_CONNECTION)}, GIVES(0)},
    {MODULE_OF_ROWS, "sqlite3_step", "I->i", {ID(A_STATEMENT)}, GIVES(100)},
    {MODULE_OF_ROWS, "statement_reset", "I->", {ID(A_STATEMENT)}, GIVES(0)},
    {MODULE_OF_ROWS, "sqlite3_finalize", "I->", {ID(A_STATEMENT)}, GIVES(0)},
    {MODULE_OF_ROWS, "column_count", "I->i", {ID(A_STATEMENT)}, GIVES(2)},
    {MODULE_OF_ROWS,
     "last_error",
     "Ii->i",
     {ID(A_CONNECTION), OUT(OUT_AT)},
     GIVES(ALLOCATED_AT),
     .allocates = true},
    {MODULE_OF_ROWS,
     "read_column",
     "Iii->i",
     {ID(A_STATEMENT_AT_ROW), EITHER(1, "so none with the index"), OUT(OUT_AT)},
     GIVES(ALLOCATED_AT),
     .allocates = true},
    {MODULE_OF_ROWS,
     "read_row",
     "Ii->i",
     {ID(A_STATEMENT_AT_ROW), OUT(OUT_AT)},
     GIVES(ALLOCATED_AT),
     .allocates = true},
    {MODULE_OF_ROWS,
     "column_names",
     "Ii->i",
     {ID(A_STATEMENT), OUT(OUT_AT)},
     GIVES(ALLOCATED_AT),
     .allocates = true},
    {MODULE_OF_ROWS,
     "column_name",
     "Iii->i",
     {ID(A_STATEMENT), EITHER(1, "so none with the index"), OUT(OUT_AT)},
     GIVES(ALLOCATED_AT),
     .allocates = true},
};
#undef MODULE_OF_ROWS

/* --- distributed, metrics, trap, version ------------------------------------------------------ */

#define PEM(at, n) FROM_PEM(at), SIZED(n, .most = PD_PEM_MAX, .says = BYTES_LONG, .zero_says = "")
#define FROM_PEM(at)                                                                               \
    {                                                                                              \
        .role = ROLE_TEXT, .value = at                                                             \
    }
#define MODULE_OF_ROWS "lunatic::distributed"
static const struct row distributed_rows[] = {
    {MODULE_OF_ROWS, "nodes_count", "->i", GIVES(1)},
    {MODULE_OF_ROWS, "get_nodes", "ii->i", {OUT(OUT_AT), ANY(1)}, GIVES(1)},
    {MODULE_OF_ROWS, "node_id", "->I", GIVES(0)},
    {MODULE_OF_ROWS, "module_id", "->I", GIVES(0)},
    {MODULE_OF_ROWS,
     "spawn",
     "IIIiiiii->i",
     {NODE, OWN_OR(A_CONFIG), ANY(0), FUNCTION_OF_SPAWN, OUT(OUT_AT)},
     GIVES(0)},
    {MODULE_OF_ROWS, "send", "II->i", {NODE, PID(OTHER_PID)}, NEEDS_A_PLAIN_MESSAGE, GIVES(0)},
    {MODULE_OF_ROWS,
     "send_receive_skip_search",
     "IIII->i",
     {NODE, PID(OTHER_PID), ANY(9), WAIT(0)},
     NEEDS_A_PLAIN_MESSAGE,
     TIMED_OUT_AT_ONCE},
    {MODULE_OF_ROWS,
     "send_receive_skip_search",
     "III->i",
     {NODE, PID(OTHER_PID), WAIT(0)},
     NEEDS_A_PLAIN_MESSAGE,
     TIMED_OUT_AT_ONCE},
    {MODULE_OF_ROWS, /* where the id of an error goes matters only then */
     "exec_lookup_nodes",
     "iiiii->i",
     {TEXT(WORD_AT), SIZED(4, .most = 4096, .says = BYTES_LONG), OUT(OUT_AT), OUT(PEER_AT),
      ANY(ERROR_AT)},
     .answers_errors = true,
     GIVES(0)},
    {MODULE_OF_ROWS,
     "copy_lookup_nodes_results",
     "Iiii->i",
     {QUIET(A_QUERY, UINT32_MAX), OUT(OUT_AT), ANY(1), ANY(ERROR_AT)},
     GIVES(1)},
    {MODULE_OF_ROWS,
     "test_root_cert",
     "i->i",
     {OUT(OUT_AT)},
     GIVES(ALLOCATED_AT),
     .allocates = true},
    {MODULE_OF_ROWS,
     "default_server_certificates",
     "iiiii->i",
     {PEM(ROOT_AT, ROOT_SIZE), PEM(ROOT_KEY_AT, ROOT_KEY_SIZE), OUT(OUT_AT)},
     GIVES(ALLOCATED_AT),
     .allocates = true},
    {MODULE_OF_ROWS,
     "sign_node",
     "iiiiiii->i",
     {PEM(ROOT_AT, ROOT_SIZE), PEM(ROOT_KEY_AT, ROOT_KEY_SIZE), PEM(REQUEST_AT, REQUEST_SIZE),
      OUT(OUT_AT)},
     GIVES(ALLOCATED_AT),
     .allocates = true},
};
#undef MODULE_OF_ROWS

#define METRIC(name, signature, ...)                                                               \
    {                                                                                              \
        "lunatic::metrics", name, signature, {TEXT(WORD_AT), SIZE(4), __VA_ARGS__}, GIVES(0)       \
    }
static const struct row metrics_rows[] = {
    METRIC("counter", "iiI->", ANY(3)),
    METRIC("increment_counter", "ii->", {.role = ROLE_END}),
    METRIC("gauge", "iiD->", ANY(3)),
    METRIC("increment_gauge", "iiD->", ANY(3)),
    METRIC("decrement_gauge", "iiD->", ANY(3)),
    METRIC("histogram", "iiD->", ANY(3)),
};

static const struct row last_rows[] = {
    {"lunatic::trap", "catch", "ii->i", {ANY(7), ANY(8)}, GIVES(ALLOCATED_AT)},
    {"lunatic::version", "major", "->i", GIVES(0)},
    {"lunatic::version", "minor", "->i", GIVES(13)},
    {"lunatic::version", "patch", "->i", GIVES(2)},
};

/* --- pando: processes, messages, names, groups ------------------------------------------------ */

#define MODULE_OF_ROWS "pando::process"
static const struct row pando_process_rows[] = {
    {MODULE_OF_ROWS, "monitor", "I->I", {PID(OTHER_PID)}, GIVES_SOMETHING},
    {MODULE_OF_ROWS, "demonitor", "Ii->i", {ANY(3), ANY(1)}, GIVES(0)},
    {MODULE_OF_ROWS, "trap_exit", "i->", {ANY(0)}, GIVES(0)},
    {MODULE_OF_ROWS,
     "exit",
     "Iiii->",
     {PID(1000000), EITHER(1, "is no exit reason"), TEXT(WORD_AT), SIZE(4)},
     GIVES(0)},
    {MODULE_OF_ROWS,
     "exit_self",
     "iii->",
     {EITHER(1, "is no exit reason"), TEXT(WORD_AT), SIZE(4)},
     .ends = true},
    {MODULE_OF_ROWS, "last_reason", "->i", GIVES(0)},
    {MODULE_OF_ROWS, "send", "I->i", {PID(OTHER_PID)}, GIVES(0)},
    {MODULE_OF_ROWS, "call", "II->i", {PID(OTHER_PID), WAIT(0)}, TIMED_OUT_AT_ONCE},
    {MODULE_OF_ROWS, "reply", "II->i", {PID(OTHER_PID), EITHER(3, "0 is no reference")}, GIVES(0)},
    {"pando::message", "ref", "->I", GIVES(0)},
    {"pando::message", "pid", "->I", GIVES(0)},
    {"pando::message", "reason", "->i", GIVES(0)},
    {"pando::message", "reason_text", "ii->i", {TO(OUT_AT), SIZE(8)}, GIVES(0)},
    {"pando::registry",
     "register",
     "iiI->i",
     {TEXT(FRESH_AT), NAME_SIZE(5, NAMES_ALLOWED, NAMES_ALLOWED), PID(OWN_PID)},
     GIVES(0)},
    {"pando::registry",
     "whereis",
     "iii->i",
     {TEXT(NAME_AT), NAME_SIZE(4, NAMES_ALLOWED, NAMES_ALLOWED), OUT(OUT_AT)},
     GIVES(0)},
    {"pando::registry",
     "unregister",
     "ii->i",
     {TEXT(FRESH_AT), NAME_SIZE(5, NAMES_ALLOWED, NAMES_ALLOWED)},
     GIVES(1)},
    {"pando::group",
     "join",
     "ii->i",
     {TEXT(FRESH_AT), NAME_SIZE(5, NAMES_ALLOWED, NAMES_ALLOWED)},
     GIVES(0)},
    {"pando::group",
     "leave",
     "ii->i",
     {TEXT(FRESH_AT), NAME_SIZE(5, NAMES_ALLOWED, NAMES_ALLOWED)},
     GIVES(1)},
    {"pando::group",
     "members",
     "iiii->i",
     {TEXT(FRESH_AT), NAME_SIZE(5, NAMES_ALLOWED, NAMES_ALLOWED), TO(OUT_AT), COUNT8(1)},
     GIVES(0)},
    {"pando::group",
     "broadcast",
     "iii->i",
     {TEXT(FRESH_AT), NAME_SIZE(5, NAMES_ALLOWED, NAMES_ALLOWED), WRITTEN(OUT_AT, 4)},
     NEEDS_A_PLAIN_MESSAGE,
     GIVES(0)},
};
#undef MODULE_OF_ROWS

#define INFO(name)                                                                                 \
    {                                                                                              \
        "pando::info", name, "->I", GIVES_SOMETHING                                                \
    }
static const struct row info_rows[] = {
    INFO("fuel_used"),
    INFO("fuel_limit"),
    INFO("memory_size"),
    INFO("memory_limit"),
    INFO("message_count"),
    INFO("received"),
    INFO("process_count"),
    INFO("now_ns"),
    {"pando::network",
     "config_allow",
     "Iiii->i",
     {ID(A_CONFIG), TEXT(RIGHT_AT),
      SIZED(5, .most = 8192, .says = "at most 8192 bytes", .zero_says = ""), OUT(OUT_AT)},
     GIVES_OR_ERROR},
};

/* --- pando: supervisors ----------------------------------------------------------------------- */

#define CHILD_ID                                                                                   \
    TEXT(FRESH_AT), SIZED(5, .most = PD_CHILD_ID_SIZE_MAX, .says = "none of them 0",               \
                          .zero_says = "none of them 0")
#define ASKED(name, signature, who, ...)                                                           \
    {                                                                                              \
        SUPERVISOR, name, signature, {PID(who), __VA_ARGS__, WAIT(FOREVER), OUT(OUT_AT)},          \
            NEEDS_SUPERVISORS, GIVES_OR_ERROR                                                      \
    }
/* It is gone, also when it could not be started. */
#define CONSUMES .loses = 1u << COUNT_SUPERVISORS
static const struct row supervisor_rows[] = {
    {SUPERVISOR,
     "create",
     "iiI->I",
     {EITHER(0, "is no strategy"), EITHER(3, "at most"), EITHER(1000, "at most")},
     GIVES_SOMETHING},
    {SUPERVISOR, "drop", "I->", {ID(A_SUPERVISOR)}, GIVES(0)},
    {SUPERVISOR,
     "set_name",
     "Iii->",
     {ID(A_SUPERVISOR), TEXT(WORD_AT),
      SIZED(4, .most = PD_CHILD_ID_SIZE_MAX, .says = "none of them 0",
            .zero_says = "none of them 0")},
     GIVES(0)},
    {SUPERVISOR,
     "set_limits",
     "Iii->",
     {ID(A_SUPERVISOR), EITHER(5, "children, and"), EITHER(1, "children, and")},
     GIVES(0)},
    {SUPERVISOR,
     "add_worker",
     "IiiIIiiiiiiI->",
     {ID(A_SUPERVISOR), CHILD_ID, OWN_OR(A_CONFIG), OWN_OR(A_MODULE), TEXT(FUNCTION_AT),
      SIZED(3, .says = "a function name of", .zero_says = "none of them 0"), PARAMS,
      EITHER(0, "unknown"), EITHER(0, "'fresh': "), EITHER(5, "child 'fresh'")},
     GIVES(0)},
    {SUPERVISOR,
     "add_supervisor",
     "IIiiiI->",
     {ID(A_SUPERVISOR), ID(A_BRANCH), CHILD_ID, EITHER(0, "restart is 0, 1 or 2"),
      EITHER(5, "child 'fresh'")},
     GIVES(0)},
    {SUPERVISOR, "set_ready", "II->", {ID(A_SUPERVISOR), EITHER(50, "child 'word'")}, GIVES(0)},
    {SUPERVISOR,
     "start",
     "IIi->i",
     {ID(A_SUPERVISOR), ANY(0), OUT(OUT_AT)},
     GIVES_OR_ERROR,
     CONSUMES},
    ASKED("start_child", "IiiIi->i", DYNAMIC_PID, PARAMS),
    ASKED("restart_child", "IiiIi->i", SUPERVISOR_PID, CHILD_ID),
    ASKED("stop_child", "IIIi->i", SUPERVISOR_PID, EITHER(CHILD_PID, "0 is no pid")),
    ASKED("delete_child", "IiiIi->i", SUPERVISOR_PID, CHILD_ID),
    ASKED("count", "IiIi->i", SUPERVISOR_PID, WRITTEN(PEER_AT, 16)),
    ASKED("list", "IIiiIi->i", SUPERVISOR_PID, ANY(0), TO(DATA_AT), SIZE(256)),
    ASKED("stop", "IiIi->i", SUPERVISOR_PID, ANY(1)),
    {SUPERVISOR, "ready", "->", GIVES(0)},
};

/* --- pando: the store, sqlite ----------------------------------------------------------------- */

#define STORE_KEY FROM(KEY_AT), SIZE(7)
#define FLAGS EITHER(0, "flags")
static const struct row store_rows[] = {
    {KV, "get", "iiiii->i", {STORE_KEY, TO(DATA_AT), SIZE(8), WRITTEN(OUT_AT, 40)}, GIVES(0)},
    {KV, "get_local", "iiiii->i", {STORE_KEY, TO(DATA_AT), SIZE(8), WRITTEN(OUT_AT, 40)}, GIVES(0)},
    {KV,
     "put",
     "iiiiIii->i",
     {STORE_KEY, FROM(WORD_AT), SIZE(4), ANY(0), FLAGS, OUT(OUT_AT)},
     GIVES(0)},
    {KV,
     "delete",
     "iiiiii->i",
     {STORE_KEY, FROM(WORD_AT), SIZE(4), FLAGS, WRITTEN(OUT_AT, 16)},
     GIVES(0)},
    {KV,
     "range",
     "iiiiIIii->i",
     {STORE_KEY, FROM(WORD_AT), SIZE(4), ANY(0), ANY(0), FLAGS, WRITTEN(OUT_AT, 24)},
     GIVES(0)},
    {KV, "txn", "iii->i", {STORE_KEY, WRITTEN(OUT_AT, 16)}, GIVES(0)},
    {KV, "answer_left", "->i", GIVES(36)},
    {KV, "answer_read", "ii->i", {TO(DATA_AT), SIZE(8)}, GIVES(8)},
    {KV, "lease_grant", "IIi->i", {ANY(30), ANY(0), WRITTEN(OUT_AT, 16)}, GIVES(0)},
    {KV, "lease_revoke", "I->i", {ANY(LEASE)}, GIVES(0)},
    {KV, "lease_keepalive", "Ii->i", {ANY(LEASE), WRITTEN(OUT_AT, 16)}, GIVES(0)},
    {KV, "set_timeout", "I->", {ANY(1000)}, GIVES(0)},
    {KV, "last_error", "->I", GIVES_SOMETHING},
    {KV,
     "config_allow",
     "Iii->",
     {ID(A_CONFIG), FROM(KEY_AT),
      SIZED(4, .most = PD_KV_PREFIX_MAX, .says = "bytes, where", .zero_says = "permission denied")},
     GIVES(0)},
    {KV,
     "watch",
     "iiiiIIii->i",
     {STORE_KEY, FROM(WORD_AT), SIZE(4), ANY(0), ANY(1), FLAGS, WRITTEN(OUT_AT, 16)},
     GIVES(0)},
    {KV, "unwatch", "I->i", {QUIET(A_WATCH, PD_KV_CODE_ABSENT)}, GIVES(0)},
};

#define MODULE_OF_ROWS "pando::sqlite"
static const struct row pando_sqlite_rows[] = {
    {MODULE_OF_ROWS,
     "prepare",
     "Iiii->i",
     {ID(A_CONNECTION), TEXT(SQL_AT), SIZE(8), OUT(OUT_AT)},
     GIVES(0)},
    {MODULE_OF_ROWS, "bind", "Iii->i", {ID(A_STATEMENT), BINDS}, GIVES(0)},
    {MODULE_OF_ROWS, "step", "I->i", {ID(A_STATEMENT)}, GIVES(100)},
    {MODULE_OF_ROWS,
     "row",
     "Iii->i",
     {ID(A_STATEMENT_AT_ROW), TO(DATA_AT), SIZE(64)},
     GIVES_SOMETHING},
    {MODULE_OF_ROWS, "names", "Iii->i", {ID(A_STATEMENT), TO(DATA_AT), SIZE(64)}, GIVES_SOMETHING},
    {MODULE_OF_ROWS, "error", "Iii->i", {ID(A_CONNECTION), TO(DATA_AT), SIZE(64)}, GIVES(0)},
    {MODULE_OF_ROWS, "close", "I->i", {ID(A_CONNECTION)}, GIVES(5)}, /* it has statements */
};
#undef MODULE_OF_ROWS

/* --- All of them ------------------------------------------------------------------------------ */

#define ROWS(rows)                                                                                 \
    {                                                                                              \
        rows, sizeof rows / sizeof rows[0]                                                         \
    }
static const struct {
    const struct row *rows;
    size_t count;
} row_tables[] = {
    ROWS(networking_rows), ROWS(distributed_rows),   ROWS(sqlite_rows),
    ROWS(process_rows),    ROWS(message_rows),       ROWS(wasi_rows),
    ROWS(registry_rows),   ROWS(pando_process_rows), ROWS(supervisor_rows),
    ROWS(store_rows),      ROWS(pando_sqlite_rows),  ROWS(info_rows),
    ROWS(timer_rows),      ROWS(error_rows),         ROWS(metrics_rows),
    ROWS(last_rows),
};

/* NULL behind the last. */
static inline const struct row *row_at(size_t index)
{
    for (size_t i = 0; i < sizeof row_tables / sizeof row_tables[0]; i++) {
        if (index < row_tables[i].count) {
            return &row_tables[i].rows[index];
        }
        index -= row_tables[i].count;
    }
    return NULL;
}

static inline size_t row_argument_count(const struct row *row)
{
    return (size_t)(strchr(row->signature, '-') - row->signature);
}

static inline unsigned thing_needs(enum thing thing)
{
    switch (thing) {
    case A_NAME_LIST:
    case A_LISTENER:
    case A_STREAM:
    case A_DATAGRAM_SOCKET:
        return NEEDS_SOCKETS;
    case A_TLS_LISTENER:
    case A_TLS_STREAM:
        return NEEDS_TLS;
    case A_CONNECTION:
    case A_STATEMENT:
    case A_STATEMENT_AT_ROW:
        return NEEDS_SQLITE;
    case AN_ERROR:
    case A_MODULE:
    case A_CONFIG:
    case A_TIMER:
    case A_QUERY:
    case A_SUPERVISOR:
    case A_BRANCH:
    case A_WATCH:
    case THINGS:
        break;
    }
    return 0;
}

/* What the row's own arguments say, besides what it says itself. */
static inline unsigned row_needs(const struct row *row)
{
    unsigned needs = row->needs;
    for (size_t i = 0; i < row_argument_count(row); i++) {
        const struct argument *argument = &row->arguments[i];
        bool is_id = argument->role == ROLE_ID || argument->role == ROLE_INDEX;
        needs |= is_id ? thing_needs(argument->thing) : 0;
    }
    return needs;
}

#endif
