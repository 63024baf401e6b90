#include "raft-conformance/changes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "raft-conformance/script.h"

/* In the order of enum pd_raft_conf_change_type. */
static const char letters[] = "vrul";

bool changes_read(const char *input, struct pd_raft_conf_change *changes, struct text *output)
{
    changes->count = 0;
    for (;;) {
        input += strspn(input, " \t\n");
        size_t size = strcspn(input, " \t\n");
        if (size == 0) {
            return true;
        }
        char word[32];
        (void)snprintf(word, sizeof word, "%.*s", (int)size, input);
        const char *letter = strchr(letters, word[0]);
        struct pd_raft_conf_change_single *single = &changes->changes[changes->count];
        if (size < 2) {
            text_add(output, "unknown token %s", word);
            return false;
        }
        if (letter == NULL || size >= sizeof word || changes->count == PD_RAFT_MEMBERS_MAX) {
            text_add(output, "unknown input: %s", word);
            return false;
        }
        single->type = (enum pd_raft_conf_change_type)(letter - letters);
        if (!read_u64(word + 1, &single->node)) {
            text_add(output, "strconv.ParseUint: parsing \"%s\": invalid syntax", word + 1);
            return false;
        }
        changes->count++;
        input += size;
    }
}

void changes_write(const struct pd_raft_conf_change *changes, struct text *output)
{
    for (uint32_t i = 0; i < changes->count; i++) {
        text_add(output, "%s%c%" PRIu64, i == 0 ? "" : " ", letters[changes->changes[i].type],
                 changes->changes[i].node);
    }
}
