#include "gradients.h"

using namespace haze;
using namespace haze::testing;

namespace {

// The square makes the second derivative differ from 0 and the gradient depend on the element.
void check_view(const std::string& what, const std::function<Variable(const Variable&)>& view,
                const Tensor& x) {
  check_first_and_second(what, [&](const Inputs& in) { return square(view(square(in[0]))); }, {x});
}

}  // namespace

TEST_CASE("every view agrees with central differences, of dense and of strided inputs") {
  for (const Tensor& x : {random({2, 3, 4}), transpose(random({2, 4, 3})),
                          slice(random({2, 3, 8}), 2, 1, 8, 2), expand(random({3, 1}), {2, 3, 4})}) {
    check_view(
        "reshape",
        [](const Variable& v) {
          return reshape(v, {6, -1});
        },
        x);
    check_view(
        "transpose", [](const Variable& v) { return transpose(v, 0, -1); }, x);
    check_view(
        "permute",
        [](const Variable& v) {
          return permute(v, {2, 0, 1});
        },
        x);
    check_view(
        "permute",
        [](const Variable& v) {
          return permute(v, {-1, -3, -2});
        },
        x);
    check_view(
        "slice", [](const Variable& v) { return slice(v, 1, 1, 3); }, x);
    check_view(
        "slice by 2", [](const Variable& v) { return slice(v, -1, 0, 4, 2); }, x);
    check_view(
        "expand",
        [](const Variable& v) {
          return expand(v, {2, 2, 3, 4});
        },
        x);
    check_view(
        "unsqueeze", [](const Variable& v) { return unsqueeze(v, -1); }, x);
    check_view(
        "unsqueeze", [](const Variable& v) { return unsqueeze(v, 0); }, x);
    check_view(
        "contiguous", [](const Variable& v) { return contiguous(transpose(v)); }, x);
  }
  check_view(
      "expand",
      [](const Variable& v) {
        return expand(v, {4, 2, 3});
      },
      random({2, 1}));
}

TEST_CASE("the parts of a concatenation get their slices of the gradient") {
  const auto f = [](const Inputs& in) { return square(concat({in[0], in[1], square(in[0])}, -1)); };
  check_first_and_second("concat", f, {random({2, 3}), random({2, 2}, 2)});
  check_first_and_second("concat", f, {transpose(random({3, 2})), expand(random({2, 1}, 2), {2, 2})});

  const Variable x = Variable::leaf(ones({1, 2}));
  const Variable joined = concat({Variable(ones({3, 2})), x}, 0);
  backward(sum(joined * 3.0));
  CHECK(x.gradient().to_vector<float>() == std::vector<float>{3, 3});
}

TEST_CASE("cast brings the gradient back in the input's dtype") {
  const Variable x = Variable::leaf(float64s({1.5, -2}));
  const Variable y = cast(x, Dtype::float32);
  CHECK(y.dtype() == Dtype::float32);
  backward(sum(square(y)));
  CHECK(x.gradient().dtype() == Dtype::float64);
  CHECK(x.gradient().to_vector<double>() == std::vector<double>{3, -4});
  CHECK_FALSE(cast(x, Dtype::int32).requires_gradient());
}

TEST_CASE("views of the tape share the storage of their input") {
  const Variable x = Variable::leaf(random({2, 3}));
  CHECK(transpose(x).value().storage() == x.value().storage());
  CHECK(reshape(x, {6}).value().storage() == x.value().storage());
  CHECK(contiguous(x).value().storage() == x.value().storage());
}

TEST_CASE("pad agrees with central differences on every axis") {
  for (int axis : {0, 1, -1}) {
    check_first_and_second("pad", [=](const Inputs& in) { return square(pad(in[0], axis, 2, 1, 3)); },
                           {random({2, 3})});
  }
}
