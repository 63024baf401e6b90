#include "raft-conformance/changes.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "raft-conformance/script.h"

/* In the order of enum pd_raft_conf_change_type. */
static const char letters[] = "vrul";

static bool read_change(const char *token, struct pd_raft_conf_change_single *single,
                        struct text *output)
{
    const char *letter = strchr(letters, token[0]);
    if (strlen(token) < 2) {
        text_add(output, "unknown token %s", token);
        return false;
    }
    if (letter == NULL) {
        text_add(output, "unknown input: %s", token);
        return false;
    }
    single->type = (enum pd_raft_conf_change_type)(letter - letters);
    const char *number = token + 1;
    if (!read_u64(number, &single->node)) {
        bool is_number = number[strspn(number, "0123456789")] == '\0';
        text_add(output, "strconv.ParseUint: parsing ");
        text_add_quoted(output, number, strlen(number));
        text_add(output, ": %s", is_number ? "value out of range" : "invalid syntax");
        return false;
    }
    return true;
}

bool changes_read(const char *input, struct pd_raft_conf_change *changes, struct text *output)
{
    static const char blanks[] = " \t\v\f\r\n";
    changes->count = 0;
    input += strspn(input, blanks);
    size_t size = strlen(input);
    while (size > 0 && strchr(blanks, input[size - 1]) != NULL) {
        size--;
    }
    const char *end = input + size;
    while (input < end) {
        size = 0;
        while (input + size < end && input[size] != ' ') {
            size++;
        }
        if (changes->count == PD_RAFT_MEMBERS_MAX) {
            text_add(output, "more than %u changes", PD_RAFT_MEMBERS_MAX);
            return false;
        }
        char *token = must_copy(input, size);
        bool is_read = read_change(token, &changes->changes[changes->count++], output);
        pd_free(token);
        if (!is_read) {
            return false;
        }
        input += size + (input + size < end ? 1 : 0);
    }
    return true;
}

void changes_write(const struct pd_raft_conf_change *changes, struct text *output)
{
    for (uint32_t i = 0; i < changes->count; i++) {
        text_add(output, "%s%c%" PRIu64, i == 0 ? "" : " ", letters[changes->changes[i].type],
                 changes->changes[i].node);
    }
}
