/* Whether cross/mem.c moves and compares as a loop over bytes does: each length, each overlap, each place of a difference. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_MAX = 300, SHIFT_MAX = 100, ROOM = 640 };

/* Called through these, so that the compiler takes none for what it knows. */
static void *(*volatile move)(void *, const void *, size_t) = memmove;
static void *(*volatile copy)(void *, const void *, size_t) = memcpy;
static int (*volatile compare)(const void *, const void *, size_t) = memcmp;
static int (*volatile differ)(const void *, const void *, size_t) = bcmp;

static void fail(const char *what, size_t length, long where) {
    printf("%s of %zu bytes, %ld\n", what, length, where);
    exit(1);
}

static void fill(unsigned char *bytes) {
    for (size_t i = 0; i < ROOM; i++) bytes[i] = (unsigned char)(i * 197 + i / 256 * 31);
}

static void check_move(size_t length, size_t at, long shift) {
    static unsigned char before[ROOM], after[ROOM];
    fill(before);
    fill(after);
    if (move(after + at + shift, after + at, length) != after + at + shift) fail("memmove, its result", length, shift);
    for (size_t i = 0; i < ROOM; i++) {
        size_t moved = i - at - shift;
        if (after[i] != (moved < length ? before[at + moved] : before[i])) fail("memmove", length, shift);
    }
}

static void check_copy(size_t length, size_t from, size_t to) {
    static unsigned char source[ROOM], target[ROOM];
    fill(source);
    memset(target, 0, ROOM);
    if (copy(target + to, source + from, length) != target + to) fail("memcpy, its result", length, to);
    for (size_t i = 0; i < ROOM; i++) {
        size_t copied = i - to;
        if (target[i] != (copied < length ? source[from + copied] : 0)) fail("memcpy", length, to);
    }
}

static void check_compare(size_t length, size_t at) {
    static unsigned char left[ROOM], right[ROOM];
    fill(left);
    fill(right);
    if (compare(left + at, right + at, length) != 0 || differ(left + at, right + at, length) != 0) fail("equal", length, at);
    for (size_t i = at; i < at + length; i++) {
        /* What stands behind the first difference does not count; a byte is without a sign. */
        left[i] = 0x80, right[i] = 0x7f;
        if (i + 1 < at + length) left[i + 1] = 0, right[i + 1] = 0xff;
        if (compare(left + at, right + at, length) <= 0) fail("greater", length, i);
        if (compare(right + at, left + at, length) >= 0) fail("less", length, i);
        if (differ(left + at, right + at, length) == 0) fail("different", length, i);
        fill(left);
        fill(right);
    }
}

int main(void) {
    for (size_t length = 0; length <= LENGTH_MAX; length++) {
        for (size_t at = SHIFT_MAX; at < SHIFT_MAX + 16; at++) {
            for (long shift = -SHIFT_MAX; shift <= SHIFT_MAX; shift += at == SHIFT_MAX ? 1 : 7) check_move(length, at, shift);
            for (size_t to = 0; to < 16; to += 3) check_copy(length, at, to);
            if (length <= 40 || at == SHIFT_MAX) check_compare(length, at);
        }
    }
    puts("equal");
    return 0;
}
