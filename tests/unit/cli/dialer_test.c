/* Whether nodes are there, asked one after the other: what becomes of one says nothing of the next.
 * It takes the dialer's patience twice, since what is looked for happens in its second half. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/dialer.h"
#include "host/real.h"

/* A socket that takes what comes and never answers. */
static int silent(struct pd_transport_address *address_out)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    socklen_t size = sizeof here;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(descriptor >= 0);
    assert_int_equal(bind(descriptor, (const struct sockaddr *)&here, sizeof here), 0);
    assert_int_equal(getsockname(descriptor, (struct sockaddr *)&here, &size), 0);
    *address_out = (struct pd_transport_address){.ip = {[10] = 0xff, [11] = 0xff},
                                                 .port = ntohs(here.sin_port)};
    memcpy(address_out->ip + 12, &here.sin_addr, sizeof here.sin_addr);
    return descriptor;
}

/* The first one's handshake ends, in vain, while the second one is asked. */
static void the_end_of_one_is_not_the_next_ones(void **state)
{
    static struct pd_dialer dialer; /* too large for a frame */
    static const uint8_t key[PD_TRANSPORT_KEY_SIZE] = {1};
    struct pd_real_host *real = NULL;
    char text[PD_DIALER_TEXT_MAX];
    (void)state;
    assert_int_equal(pd_real_host_create(1, 4, &real), PD_OK);
    assert_int_equal(pd_dialer_open(&dialer, pd_real_host_interface(real), text), PD_OK);
    for (uint32_t i = 0; i < 2; i++) {
        struct pd_transport_address address;
        int descriptor = silent(&address);
        assert_false(pd_dialer_dial(&dialer, key, &address));
        assert_string_equal(dialer.why, "no answer");
        assert_int_equal(close(descriptor), 0);
    }
    pd_dialer_close(&dialer);
    pd_real_host_destroy(real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_of_one_is_not_the_next_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
