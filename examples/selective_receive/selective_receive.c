/* selective_receive - taking messages out of turn: what is urgent first, what nobody asks for
 * later.
 *
 * Messages wait in the mailbox in the order in which they came. A receive that names tags takes the
 * first that has one of them, and leaves the others where they are.
 *
 *   pando run selective_receive.wasm */
#include <stdio.h>

#include <pando/pando.h>

#define TAG_LETTER 1
#define TAG_PARCEL 2
#define TAG_TELEGRAM 3
#define TAG_STOP 4

static void post(uint64_t pid, uint64_t tag, const char *text)
{
    pando_message_create(tag, 0);
    pando_message_write_text(text);
    pando_send(pid);
}

PANDO_EXPORT("sender") void sender(int64_t receiver);
void sender(int64_t receiver)
{
    uint64_t pid = (uint64_t)receiver;
    post(pid, TAG_LETTER, "a letter");
    post(pid, TAG_PARCEL, "a parcel");
    post(pid, TAG_LETTER, "another letter");
    post(pid, TAG_TELEGRAM, "a telegram");
    post(pid, TAG_STOP, "that was all");
}

static void show(const char *when)
{
    char text[64];
    uint32_t size = pando_message_read(text, sizeof text - 1);
    text[size] = '\0';
    printf("%s: %s\n", when, text);
}

int main(void)
{
    uint64_t pid = 0;
    struct pando_param self = pando_i64((int64_t)pando_self());
    if (pando_spawn_link(1, "sender", &self, 1, &pid) != PANDO_OK) {
        return 1;
    }
    /* The last one is here: so are all the others, in front of it. */
    if (pando_receive_tag(TAG_STOP, 5000) != PANDO_DATA) {
        return 1;
    }
    show("last, but taken first");
    if (pando_receive_tag(TAG_TELEGRAM, 0) == PANDO_DATA) {
        show("urgent");
    }
    const uint64_t heavy_or_urgent[] = {TAG_PARCEL, TAG_TELEGRAM};
    if (pando_receive_tags(heavy_or_urgent, 2, 0) == PANDO_DATA) {
        show("one of two tags");
    }
    while (pando_receive(0) == PANDO_DATA) {
        show("in order");
    }
    if (pando_receive_tag(TAG_PARCEL, 50) == PANDO_NOTHING) {
        printf("no further parcel within 50 ms\n");
    }
    return 0;
}
