/* Moving and comparing memory, for the static programs.
 *
 * What a C library has for that is the innermost loop of the store: records are moved within their pages, keys are compared. musl's
 * memcmp goes byte by byte, its memmove word by word or, on x86_64, by string instructions that are slow for short moves and
 * for those that go backwards. This is linked before musl, which then leaves its own out.
 *
 * Everything is loaded before anything is stored over it, so one function does for memcpy and memmove. Neither is bound to an
 * alignment: the targets load words from anywhere, and the bytes of a word lie in memory from its least to its highest.
 */
#include <stddef.h>
#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "memcmp turns words round");

typedef uint16_t two __attribute__((aligned(1), may_alias));
typedef uint32_t four __attribute__((aligned(1), may_alias));
typedef uint64_t eight __attribute__((aligned(1), may_alias));
typedef uint32_t sixteen __attribute__((vector_size(16), aligned(1), may_alias));

/* The first and the last of n bytes, each a half of them or more. */
#define MOVE_ENDS(type) \
    do { \
        type first = *(const type *)from, last = *(const type *)(from + n - sizeof(type)); \
        *(type *)to = first; \
        *(type *)(to + n - sizeof(type)) = last; \
    } while (0)

struct block {
    sixteen a, b, c, d;
};

static inline struct block load(const unsigned char *from) {
    const sixteen *part = (const sixteen *)from;
    return (struct block){part[0], part[1], part[2], part[3]};
}

static inline void store(unsigned char *to, struct block block) {
    sixteen *part = (sixteen *)to;
    part[0] = block.a, part[1] = block.b, part[2] = block.c, part[3] = block.d;
}

/* More than 64 bytes. The ends are stored last, as they may lie where other bytes come from. Between them, stores are aligned. */
static void move_many(unsigned char *to, const unsigned char *from, size_t n) {
    const size_t many = sizeof(struct block);
    struct block first = load(from), last = load(from + n - many);
    if ((uintptr_t)to - (uintptr_t)from >= n) {
        for (size_t i = 16 - (uintptr_t)to % 16; i < n - many; i += many) store(to + i, load(from + i));
    } else {
        for (size_t i = n - (uintptr_t)(to + n) % 16; i > many; i -= many) store(to + i - many, load(from + i - many));
    }
    store(to, first);
    store(to + n - many, last);
}

void *memmove(void *destination, const void *source, size_t n) {
    unsigned char *to = destination;
    const unsigned char *from = source;
    if (n > 64) {
        move_many(to, from, n);
    } else if (n > 32) {
        sixteen a = *(const sixteen *)from, b = *(const sixteen *)(from + 16);
        sixteen c = *(const sixteen *)(from + n - 32), d = *(const sixteen *)(from + n - 16);
        *(sixteen *)to = a, *(sixteen *)(to + 16) = b;
        *(sixteen *)(to + n - 32) = c, *(sixteen *)(to + n - 16) = d;
    } else if (n >= 16) {
        MOVE_ENDS(sixteen);
    } else if (n >= 8) {
        MOVE_ENDS(eight);
    } else if (n >= 4) {
        MOVE_ENDS(four);
    } else if (n >= 2) {
        MOVE_ENDS(two);
    } else if (n == 1) {
        *to = *from;
    }
    return destination;
}

void *memcpy(void *restrict destination, const void *restrict source, size_t n) __attribute__((alias("memmove")));

/* Which of two words stands first, their bytes from the least address on; they differ. */
static inline int order(uint64_t left, uint64_t right) {
    return __builtin_bswap64(left) < __builtin_bswap64(right) ? -1 : 1;
}

/* Words of which the last may overlap the one before: what it has of that is equal. */
#define COMPARE(type, from) \
    do { \
        uint64_t l = *(const type *)(left + (from)), r = *(const type *)(right + (from)); \
        if (l != r) return order(l, r); \
    } while (0)

int memcmp(const void *one, const void *other, size_t n) {
    const unsigned char *left = one, *right = other;
    if (n >= 8) {
        for (size_t i = 0; i < n - 8; i += 8) COMPARE(eight, i);
        COMPARE(eight, n - 8);
    } else if (n >= 4) {
        COMPARE(four, 0);
        COMPARE(four, n - 4);
    } else {
        for (size_t i = 0; i < n; i++) {
            if (left[i] != right[i]) return left[i] - right[i];
        }
    }
    return 0;
}

int bcmp(const void *one, const void *other, size_t n) __attribute__((alias("memcmp")));
