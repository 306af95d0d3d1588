#include <cmath>

#include <fmt/format.h>

#include "haze/bench/kernel_case.h"
#include "haze/bench/peers.h"
#include "haze/engine/error.h"
#include "haze/engine/ops.h"

namespace haze {
namespace {

enum class Form { plain, transposed_a, transposed_b };  // a b, a^T b, a b^T

struct Product {
  int64_t batch, m, n, k;
  Form form = Form::plain;
};

// A training step's at several sizes of network, and what only tests a library: squares, and a row of a
// batch against a whole vocabulary. The transposed forms are a linear layer's: a b^T forward, a^T b for the
// gradient of its weight.
constexpr Product kProducts[] = {
    {1, 512, 512, 512},
    {1, 1024, 1024, 1024},
    {1, 2048, 768, 768},
    {1, 2048, 3072, 768},
    {1, 2048, 768, 3072},
    {1, 8192, 256, 256},
    {1, 8192, 1024, 256},
    {1, 4096, 128, 512},
    {1, 256, 128, 128},
    {1, 64, 64, 64},
    {1, 64, 30522, 128},
    {1, 1024, 30522, 256},
    {512, 64, 64, 32},
    {128, 128, 128, 64},
    {1, 768, 768, 2048, Form::transposed_a},
    {1, 3072, 768, 2048, Form::transposed_a},
    {1, 1024, 256, 8192, Form::transposed_a},
    {1, 2048, 768, 768, Form::transposed_b},
    {1, 2048, 3072, 768, Form::transposed_b},
    {1, 8192, 1024, 256, Form::transposed_b},
};

std::string name_of(const Product& p) {
  const std::string shape = fmt::format("({},{},{})", p.m, p.n, p.k);
  if (p.batch > 1) return fmt::format("{} of {}", p.batch, shape);
  if (p.form == Form::transposed_a) return "a^T b " + shape;
  return p.form == Form::transposed_b ? "a b^T " + shape : shape;
}

/// [batch, rows, columns], behind which a dense [batch, columns, rows] lies where `transposed`.
Tensor random_matrices(int64_t batch, int64_t rows, int64_t columns, bool transposed, Dtype dtype,
                       Generator& generator) {
  const Shape shape = transposed ? Shape{batch, columns, rows} : Shape{batch, rows, columns};
  const Tensor matrices = cast(normal(shape, generator), dtype);
  return transposed ? transpose(matrices) : matrices;
}

/// Throws Error where the peer computes something else: then comparing times would say nothing.
void check_agreement(const KernelCase& product, const std::string& name, const Tensor& ours,
                     const Tensor& peers) {
  product.peer();
  const double difference = global_norm(std::vector<Tensor>{subtract(ours, peers)});
  const double norm = global_norm(std::vector<Tensor>{ours});
  if (!(difference <= 1e-4 * norm))
    fail("matmul {}: haze's result and the peer's differ by {:.1e} of their norm", name, difference / norm);
}

/// The same values and layout in `dtype`; the tensor itself where it has that already.
Tensor converted(const Tensor& matrices, bool transposed, Dtype dtype) {
  if (matrices.dtype() == dtype) return matrices;
  return transposed ? transpose(cast(transpose(matrices), dtype)) : cast(matrices, dtype);
}

KernelCase prepare(const Product& p, Dtype dtype, MatmulPeer peer, Dtype peer_dtype) {
  Generator generator(1);
  const Tensor a = random_matrices(p.batch, p.m, p.k, p.form == Form::transposed_a, dtype, generator);
  const Tensor b = random_matrices(p.batch, p.k, p.n, p.form == Form::transposed_b, dtype, generator);
  const Tensor c({p.batch, p.m, p.n});
  KernelCase product;
  product.ours = [=] { matmul(a, b, {}, Dtype::float32); };
  const Tensor peer_a = converted(a, p.form == Form::transposed_a, peer_dtype);
  const Tensor peer_b = converted(b, p.form == Form::transposed_b, peer_dtype);
  product.peer =
      peer == MatmulPeer::onednn ? onednn_matmul(peer_a, peer_b, c) : blis_matmul(peer_a, peer_b, c);
  check_agreement(product, name_of(p), matmul(a, b, {}, Dtype::float32), c);
  return product;
}

KernelRow row_of(const Product& p, Dtype dtype, MatmulPeer peer, Dtype peer_dtype) {
  const auto size = static_cast<double>(size_of(dtype));
  const auto batch = static_cast<double>(p.batch), m = static_cast<double>(p.m), n = static_cast<double>(p.n),
             k = static_cast<double>(p.k);
  KernelRow row;
  row.name = name_of(p);
  row.operations = 2 * batch * m * n * k;
  row.bytes = batch * (size * (m * k + k * n) + static_cast<double>(sizeof(float)) * m * n);
  row.prepare = [=] { return prepare(p, dtype, peer, peer_dtype); };
  return row;
}

}  // namespace

KernelGroup matmul_kernels(Dtype dtype, MatmulPeer peer) {
  KernelGroup group;
  group.title = fmt::format("matmul {}", name(dtype));
  group.bfloat16 = dtype == Dtype::bfloat16;
  group.peer = peer == MatmulPeer::onednn ? "oneDNN" : "BLIS";
  // Where the processor has no instruction for it, oneDNN refuses bfloat16 and haze widens it to float32.
  const bool widened = dtype == Dtype::bfloat16 && !onednn_multiplies_bfloat16();
  const Dtype peer_dtype = widened ? Dtype::float32 : dtype;
  if (widened) group.peer += ", float32";
  for (const Product& product : kProducts) {
    if (peer == MatmulPeer::onednn || product.batch == 1)
      group.rows.push_back(row_of(product, dtype, peer, peer_dtype));
  }
  return group;
}

}  // namespace haze
