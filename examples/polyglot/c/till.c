/* till - the counter of the shop: reads orders from standard input, one a line ("2 tea"), sends
 * each through the stages and prints what came of it.
 *
 * The arguments are the stages' names, in the order in which an order passes them. The format of an
 * order is told in ../README.md. */
#include <stdio.h>
#include <string.h>

#include <pando/pando.h>

#define TAG_ORDER 1
#define REFUSED "refused: "
#define ORDER_SIZE 512
#define ATTEMPTS 3
#define WAIT_MS 30000
#define LOOK_MS 5

enum field {
    NUMBER,
    QUANTITY,
    ITEM,
    CENTS,
    ROUTE,
    TRAIL,
    SEAL,
    FIELDS
};

/* Who has the name; waits a while, since a stage that has crashed has none until it is back. */
static uint64_t find(const char *name)
{
    uint64_t pid = pando_whereis(name);
    for (int i = 0; pid == 0 && i < WAIT_MS / LOOK_MS; i++) {
        pando_sleep(LOOK_MS);
        pid = pando_whereis(name);
    }
    return pid;
}

/* Ask a stage; its answer is at hand then. False: it died of the order, each time. */
static bool ask(const char *name, const char *order)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        pando_message_create(TAG_ORDER, 0);
        pando_message_write_text(order);
        if (pando_call(find(name), WAIT_MS) == PANDO_SENT) {
            return true;
        }
    }
    return false;
}

/* CRC-32 as in zlib, bit by bit. */
static uint32_t crc32(const char *bytes, size_t size)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= (unsigned char)bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

/* Cut `order` at its tabs. False: it has other than FIELDS fields. */
static bool split(char *order, const char *fields[FIELDS])
{
    int count = 1;
    fields[0] = order;
    for (char *at = strchr(order, '\t'); at != NULL; at = strchr(at + 1, '\t')) {
        if (count == FIELDS) {
            return false;
        }
        *at = '\0';
        fields[count++] = at + 1;
    }
    return count == FIELDS;
}

/* Does the seal fit to all that stands before it? "unsealed" where no stage has sealed. */
static const char *judge_seal(const char *order)
{
    const char *seal = strrchr(order, '\t');
    char wanted[16];
    if (seal == NULL || seal[1] == '\0') {
        return "unsealed";
    }
    (void)snprintf(wanted, sizeof wanted, "%08x", (unsigned)crc32(order, (size_t)(seal - order)));
    return strcmp(seal + 1, wanted) == 0 ? "sealed" : "BROKEN SEAL";
}

/* Print the answer at hand: an order that went through, or why it was refused. */
static void print_answer(unsigned number)
{
    char answer[ORDER_SIZE + 1];
    const char *fields[FIELDS];
    answer[pando_message_read(answer, ORDER_SIZE)] = '\0';
    if (strncmp(answer, REFUSED, strlen(REFUSED)) == 0) {
        printf("order %u is %s\n", number, answer);
        return;
    }
    const char *seal = judge_seal(answer);
    if (!split(answer, fields)) {
        printf("order %u came back as no order\n", number);
        return;
    }
    printf("order %s: %s x %s, %s cents, %s, by%s\n", fields[NUMBER], fields[QUANTITY],
           fields[ITEM], fields[CENTS], seal, fields[TRAIL]);
}

/* The names of all stages but the first, with blanks between. False: they are too long. */
static bool write_route(char *route, size_t room, int count, char **names)
{
    size_t size = 0;
    route[0] = '\0';
    for (int i = 2; i < count; i++) {
        int added = snprintf(route + size, room - size, "%s%s", i > 2 ? " " : "", names[i]);
        if (added < 0 || (size_t)added >= room - size) {
            return false;
        }
        size += (size_t)added;
    }
    return true;
}

int main(int count, char **arguments)
{
    char route[128];
    char line[128];
    char order[ORDER_SIZE + 1];
    if (count < 2 || !write_route(route, sizeof route, count, arguments)) {
        fprintf(stderr, "usage: till STAGE...\n");
        return 2;
    }
    for (unsigned number = 1; fgets(line, sizeof line, stdin) != NULL; number++) {
        unsigned quantity = 0;
        char item[32];
        if (sscanf(line, "%u %31s", &quantity, item) != 2) {
            printf("order %u is " REFUSED "it is no QUANTITY ITEM\n", number);
        } else {
            (void)snprintf(order, sizeof order, "%u\t%u\t%s\t0\t%s\t c#%llu\t", number, quantity,
                           item, route, (unsigned long long)pando_self());
            if (ask(arguments[1], order)) {
                print_answer(number);
            } else {
                printf("order %u is " REFUSED "%s died of it\n", number, arguments[1]);
            }
        }
        (void)fflush(stdout);
    }
    return 0;
}
