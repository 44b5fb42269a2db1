// Products of integer matrices in doubles: blocks of four rows by two vectors of columns in registers.
#pragma once

#include "arithmetic.hpp"

namespace crosspoint {

constexpr long PANEL = 2 * LANES;

template <int ROWS>
inline void product_block(const double* a, long a_stride, const double* b, long b_stride, double* c, long c_stride,
                          long depth) {
    F64Lanes sum[ROWS][2] = {};
    for (long k = 0; k < depth; ++k) {
        const auto* b_row = reinterpret_cast<const F64Lanes*>(b + k * b_stride);
        const F64Lanes low = b_row[0], high = b_row[1];
        for (int r = 0; r < ROWS; ++r) {
            const double factor = a[r * a_stride + k];
            sum[r][0] += factor * low;
            sum[r][1] += factor * high;
        }
    }
    for (int r = 0; r < ROWS; ++r) {
        auto* c_row = reinterpret_cast<F64Lanes*>(c + r * c_stride);
        c_row[0] = sum[r][0];
        c_row[1] = sum[r][1];
    }
}

// c[m][n] = sum_k a[m][k] b[k][n]; columns of b and c are padded to whole panels. With many rows, a panel of b is
// first packed side by side in `packed` (depth * PANEL), because its rows lie pages apart.
inline void product(const double* a, long a_stride, const double* b, long b_stride, double* c, long c_stride, long rows,
                    long columns, long depth, double* packed) {
    constexpr long MANY = 16;
    for (long n = 0; n < columns; n += PANEL) {
        const double* panel = b + n;
        long stride = b_stride;
        if (rows >= MANY) {
            for (long k = 0; k < depth; ++k) std::copy_n(panel + k * b_stride, PANEL, packed + k * PANEL);
            panel = packed;
            stride = PANEL;
        }
        long m = 0;
        for (; m + 4 <= rows; m += 4)
            product_block<4>(a + m * a_stride, a_stride, panel, stride, c + m * c_stride + n, c_stride, depth);
        for (; m < rows; ++m)
            product_block<1>(a + m * a_stride, a_stride, panel, stride, c + m * c_stride + n, c_stride, depth);
    }
}

}  // namespace crosspoint
