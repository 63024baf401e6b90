/* test_name - how the exports of a module name its tests, as Rust's `lunatic` crate writes them.
 *
 * Model      "#lunatic_test_" + ["#ignore_"] + ["#panic_" + TEXT + "#"] + path. In TEXT, "\#"
 *            stands for '#'. A test that expects a panic passes when it dies and the words of its
 *            panic contain TEXT; every death will do when TEXT is empty.
 * Ownership  Names borrow from the export's; the expected text is written by pd_test_name_expected.
 * Pure: no I/O, clock or heap. */
#ifndef PD_NODE_TEST_NAME_H
#define PD_NODE_TEST_NAME_H

#include <stdbool.h>
#include <stddef.h>

struct pd_test_name {
    const char *path; /* "crate::module::function" */
    size_t path_size;
    const char *panic; /* the text as it stands in the export, or NULL: no panic is expected */
    size_t panic_size;
    bool is_ignored;
};

/* False: this export is not a test. */
bool pd_test_name_parse(const char *name, size_t size, struct pd_test_name *name_out);

/* The text that the panic must contain, with its escapes undone, into `text` of at least
 * panic_size bytes. Returns its size. */
size_t pd_test_name_expected(const struct pd_test_name *name, char *text);

/* Which tests are wanted. */
struct pd_test_choice {
    const char *const *filters; /* any of these; none: all tests */
    size_t filter_count;
    const char *const *skips; /* and none of these */
    size_t skip_count;
    bool is_exact;        /* filters and skips are whole paths, not parts of them */
    bool only_ignored;    /* tests marked so, and no others */
    bool include_ignored; /* run those too */
};

bool pd_test_choice_wants(const struct pd_test_choice *choice, const struct pd_test_name *name);

/* The words of the first panic in what a test wrote ("panicked at 'WORDS', file" of old Rust,
 * "panicked at file:\nWORDS" of new), or NULL: there was none. They end where the message does, as
 * far as that can be seen. */
const char *pd_test_panic_words(const char *output, size_t size, size_t *size_out);

/* True: the bytes contain the text; an empty text is in all. */
bool pd_test_contains(const char *bytes, size_t size, const char *text, size_t text_size);

#endif
