#include "haze/engine/device.h"

#include <cmath>

#include <doctest/doctest.h>

#include "haze/engine/cpu/parallel.h"
#include "haze/engine/ops.h"

#include "error_of.h"

using namespace haze;
using haze::testing::error_of;

namespace {

Tensor guarded(std::initializer_list<float> values) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())}, Device::guarded);
}

}  // namespace

TEST_CASE("a device is found by its name, and another name is one sentence") {
  for (Device device : {Device::cpu, Device::cuda, Device::simt, Device::guarded})
    CHECK(device_named(name(device)) == device);
  CHECK(error_of([] { device_named("tpu"); }) ==
        "device tpu: there is none of that name; there are cpu, cuda, simt, guarded");
}

TEST_CASE("a device that this build or this machine lacks is one sentence, wherever it is asked for") {
  if (is_available(Device::cuda)) {
    MESSAGE("skipped: this machine has a GPU");
    return;
  }
  const std::string sentence = error_of([] { runtime(Device::cuda); });
#ifdef HAZE_CUDA
  CHECK(sentence.starts_with("device cuda: "));  // no driver, an old one, no GPU
#else
  CHECK(sentence == "device cuda: this build has none");
#endif
  CHECK(error_of([] { zeros({2}, Dtype::float32, Device::cuda); }) == sentence);
  CHECK(error_of([] { to(zeros({2}), Device::cuda); }) == sentence);
  CHECK(error_of([] { memory_statistics(Device::cuda); }) == sentence);
}

TEST_CASE("what lies on another device is read by item(), at(), to_vector() and to(), not by the host") {
  const Tensor x = guarded({1, 2, 3});
  CHECK(x.device() == Device::guarded);
  CHECK(error_of([&] { x.data<float>(); }).starts_with("tensor on guarded read by the host"));
  CHECK(error_of([&] { x.raw(); }).starts_with("tensor on guarded read by the host"));
  CHECK(x.at({1}) == 2);
  CHECK(slice(x, 0, 2, 3).item() == 3);
  CHECK(x.to_vector<double>() == std::vector<double>{1, 2, 3});
  const Tensor back = to(slice(x, 0, 0, 3, 2), Device::cpu);
  CHECK(back.data<float>()[1] == 3);
  CHECK(to(x, Device::guarded).storage() == x.storage());
}

TEST_CASE("results lie where their operands do, and operands on two devices are named") {
  const Tensor x = guarded({1, 2}), y = Tensor::from<float>({1, 2}, {2});
  CHECK(add(x, x).device() == Device::guarded);
  CHECK(zeros_like(x).device() == Device::guarded);
  CHECK(error_of([&] { add(x, y); }) ==
        "add: the first argument is on guarded and the second on cpu; bring them to one device with to()");
  CHECK(error_of([&] {
          matmul(reshape(y, {1, 2}), reshape(x, {2, 1}));
        }) == "matmul: a is on cpu and b on guarded; bring them to one device with to()");
  CHECK(error_of([&] { copy_into(x, y); }) ==
        "copy: the source is on cpu and the target on guarded; bring them to one device with to()");
  CHECK(x.to_vector<float>() == std::vector<float>{1, 2});
}

TEST_CASE("a value that a kernel does not take is reported at the next synchronisation, once") {
  const Tensor table = Tensor::from<float>({1, 2}, {2, 1}, Device::guarded);
  const auto ids = [](int32_t id) { return Tensor::from<int32_t>({id}, {1}, Device::guarded); };
  const std::string sentence = "embedding: index 7 is outside an axis of extent 2";
  Tensor rows;
  CHECK(error_of([&] { rows = embedding(table, ids(7)); }) == "");
  CHECK(error_of([] { synchronize(Device::guarded); }) == sentence);
  synchronize(Device::guarded);
  embedding(table, ids(7));
  embedding(table, ids(-1));  // the first is the one that counts
  CHECK(error_of([&] { table.to_vector<float>(); }) == sentence);
  CHECK(embedding(table, ids(1)).item() == 2);
  CHECK(error_of([&] { embedding(to(table, Device::cpu), to(ids(7), Device::cpu)); }) == sentence);
}

TEST_CASE("the first of several broken rows is the one that is named, on any number of threads") {
  const int before = threads();
  const Tensor log_p = zeros({40000, 3});
  for (int64_t row : {9000, 39000}) fill(slice(log_p, 0, row, row + 1), std::nan(""));
  for (int count : {1, 2, 3}) {
    set_threads(count);
    for (int again = 0; again < 5; ++again) {
      CHECK(error_of([&] {
              categorical(log_p, RandomPosition{1, 2, 3});
            }) == "categorical: row 9000 has a NaN at category 0");
    }
  }
  set_threads(before);
}

TEST_CASE("a step with a norm that is not finite changes no parameter, though the error comes later") {
  const auto tensor = [](double value) { return full({3}, value, Dtype::float32, Device::guarded); };
  const Tensor parameter = tensor(1), moment = tensor(0.5), second = tensor(0.25);
  const Tensor scale = device_clip_scale(device_global_norm(std::vector{tensor(std::nan(""))}), 1);
  adamw_step(std::vector<AdamWSlot>{{parameter, tensor(1), moment, second}},
             {.device_gradient_scale = scale});
  CHECK(error_of([] { synchronize(Device::guarded); }).starts_with("device_clip_scale:"));
  CHECK(parameter.to_vector<float>() == std::vector<float>(3, 1));
  CHECK(moment.to_vector<float>() == std::vector<float>(3, 0.5));
  CHECK(second.to_vector<float>() == std::vector<float>(3, 0.25));
}

TEST_CASE("each device has its own memory statistics") {
  const size_t cpu = memory_statistics(Device::cpu).in_use, other = memory_statistics(Device::guarded).in_use;
  const Tensor x = zeros({1000}, Dtype::float32, Device::guarded);
  CHECK(memory_statistics(Device::cpu).in_use == cpu);
  CHECK(memory_statistics(Device::guarded).in_use >= other + 4000);
}

TEST_CASE("a block counts the operations that wrote to it and names the last") {
  const Tensor x = zeros({2, 2});
  const uint32_t before = x.storage().version();
  CHECK(std::string(x.storage().written_by()) == "fill");
  add(x, x);
  CHECK(x.storage().version() == before);
  add_into(slice(x, 0, 0, 1), ones({2}));
  CHECK(x.storage().version() == before + 1);
  CHECK(std::string(x.storage().written_by()) == "add");
}
