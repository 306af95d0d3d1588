#pragma once

#include <dlfcn.h>

/// Shared by the files of libraries that are loaded at run time.
namespace haze::cuda {

/// Whether a number of ours is the header's, of an enumeration of the same size.
template <typename Ours, typename Theirs>
constexpr bool is(Ours ours, Theirs theirs) {
  return sizeof(Ours) == sizeof(Theirs) && static_cast<int>(ours) == static_cast<int>(theirs);
}

/// Whether the library, which dlopen() has given, has the function; `function` is it.
template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace haze::cuda
