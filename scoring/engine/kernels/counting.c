// Counts predicted classes against a run-length encoded truth, 64 pixels at a time.
//
// A vector comparison turns the 64 pixels into bit planes: one 64-bit mask for each bit of the
// value. From the planes, vector operations make the 64-bit mask of every class side by side, one
// class in each element. A run of the truth is a mask over the same 64 pixels as well: its pixels of
// a class are the population count of both masks' AND, which is added to the row of the run's
// label. No branch depends on the pixels, so the time does not either, and the truth is never
// expanded to pixels.
//
// Compiled once for each of CLASSES = 8, 16 and 32: `make kernels`.

#include <stdint.h>

enum { BLOCK_PX = 64 };

typedef uint8_t block __attribute__((ext_vector_type(BLOCK_PX), aligned(1)));
typedef _Bool block_mask __attribute__((ext_vector_type(BLOCK_PX)));
typedef uint64_t per_class __attribute__((ext_vector_type(CLASSES), aligned(8)));
typedef uint16_t run_length __attribute__((aligned(1)));

// The mask of the pixels whose value has any of `bits`.
static inline uint64_t pixels_with(block pixels, uint8_t bits) {
    const block chosen = pixels & bits;
    return __builtin_bit_cast(uint64_t, __builtin_convertvector(chosen != 0, block_mask));
}

// For each class, the mask of its pixels. Values of CLASSES or more are in no mask.
static inline per_class masks_of_classes(block pixels) {
    per_class masks = (per_class)~pixels_with(pixels, (uint8_t)~(CLASSES - 1));
#pragma clang loop unroll(full)
    for (int bit = 1; bit < CLASSES; bit *= 2) {
        per_class is_unset;
#pragma clang loop unroll(full)
        for (int id = 0; id < CLASSES; id++) {
            is_unset[id] = id & bit ? 0 : ~(uint64_t)0;
        }
        masks &= (per_class)pixels_with(pixels, (uint8_t)bit) ^ is_unset;
    }
    return masks;
}

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Adds one patch to `counts`.
//
// record    uint16 lengths[runs], then uint8 labels[runs], each a row of `counts`
// pixels    uint8[n_pixels], the prediction; n_pixels is a multiple of BLOCK_PX
// counts    int64[2][n_labels][CLASSES]; the sum of both halves counts. Blocks use them in turn,
//           so that an addition need not wait for the previous one to the same row.
//
// Nothing is read beyond `runs` and `n_pixels` and nothing is written outside `counts`, whatever
// the record and the pixels hold: a label of n_labels or more counts as the last one, a length of
// 0 as 1, and what lies behind the last run or the last pixel is not counted.
void count_runs(const uint8_t *restrict record, int64_t runs, const uint8_t *restrict pixels,
                int64_t n_pixels, uint64_t *restrict counts, int64_t n_labels) {
    if (runs == 0) {
        return;
    }
    const run_length *lengths = (const run_length *)record;
    const uint8_t *labels = record + runs * (int64_t)sizeof(run_length);
    int64_t run = 0;
    int64_t left = lengths[0];  // pixels of the run that are still to be counted
    int64_t label = smaller(labels[0], n_labels - 1);

    for (int64_t first = 0; first < n_pixels; first += BLOCK_PX) {
        const per_class masks = masks_of_classes(*(const block *)(pixels + first));
        uint64_t *half = counts + (first / BLOCK_PX % 2) * n_labels * CLASSES;
        int64_t done = 0;  // pixels of the block that are counted
        while (done < BLOCK_PX) {
            left = left > 1 ? left : 1;
            const int64_t taken = smaller(left, BLOCK_PX - done);
            const uint64_t in_run = ~(uint64_t)0 >> (BLOCK_PX - taken) << done;
            per_class *row = (per_class *)(half + label * CLASSES);
            *row += __builtin_elementwise_popcount(masks & (per_class)in_run);
            done += taken;
            left -= taken;
            if (left == 0) {
                if (++run == runs) {
                    return;
                }
                left = lengths[run];
                label = smaller(labels[run], n_labels - 1);
            }
        }
    }
}
