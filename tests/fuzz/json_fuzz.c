/* Whatever is sent as JSON for whichever method, it is refused or it is a message: and that one
 * comes back from its own JSON as it was. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "gateway/json.h"
#include "gateway/service.h"

#define ARENA_MAX ((size_t)16 * 1024 * 1024)
#define TEXT_MAX ((size_t)64 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *type_of(uint8_t choice)
{
    uint32_t count = 0;
    while (pd_service_method_at(count) != NULL) {
        count++;
    }
    const struct pd_service_method *method = pd_service_method_at(choice / 2 % count);
    return choice % 2 == 0 ? method->request : method->response;
}

static void check_comes_back(const ProtobufCMessage *message)
{
    struct pd_text text;
    struct pd_arena arena;
    char words[PD_JSON_WORDS_MAX];
    ProtobufCMessage *back = NULL;
    pd_text_init(&text, TEXT_MAX);
    pd_arena_init(&arena, 2 * ARENA_MAX);
    pd_json_encode(message, &text);
    pd_assert(!text.has_failed);
    enum pd_status status =
        pd_json_decode(message->descriptor, pd_text_span(&text), &arena, &back, words);
    pd_assert(status == PD_OK);
    size_t packed = protobuf_c_message_get_packed_size(message);
    pd_assert(packed == protobuf_c_message_get_packed_size(back));
    uint8_t *one = malloc(packed + 1);
    uint8_t *other = malloc(packed + 1);
    pd_assert(one != NULL && other != NULL);
    (void)protobuf_c_message_pack(message, one);
    (void)protobuf_c_message_pack(back, other);
    int difference = memcmp(one, other, packed);
    pd_assert(difference == 0);
    free(one);
    free(other);
    pd_arena_deinit(&arena);
    pd_text_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct pd_arena arena;
    char words[PD_JSON_WORDS_MAX];
    ProtobufCMessage *message = NULL;
    pd_arena_init(&arena, ARENA_MAX);
    struct pd_span input = {data + 1, size - 1};
    enum pd_status status = pd_json_decode(type_of(data[0]), input, &arena, &message, words);
    if (status == PD_OK) {
        check_comes_back(message);
    } else {
        pd_assert(words[0] != '\0');
    }
    pd_arena_deinit(&arena);
    return 0;
}
