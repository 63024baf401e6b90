/* flags: -nostdlib -Wl,--no-entry */
/* Traps two calls deep, so that the test sees a backtrace with file and line. */
__attribute__((noinline)) int inner(int divisor)
{
    if (divisor == 0) {
        __builtin_trap();
    }
    return 10 / divisor;
}

__attribute__((export_name("outer"))) void outer(void)
{
    static volatile int zero;
    zero = inner(zero) + 1;
}
