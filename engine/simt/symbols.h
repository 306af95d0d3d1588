#pragma once

#include <cstdint>
#include <string>

namespace haze::simt {

/// Of the call before the return address, as an offset in the executable.
uint32_t offset_of(const void* return_address);
/// "softmax.cu:41 in haze::checked::softmax_rows", by the symbols of the executable (addr2line of binutils);
/// "?" where there are none. Remembers what it has looked up.
std::string line_of(uint32_t offset);
/// The function that begins at the address, with its template's arguments and the types of its parameters:
/// "void haze::checked::softmax<float>(float const*, float*)"; "?" where there are no symbols.
std::string function_at(const void* address);
/// Whether the address lies in the executable's own code or constants.
bool is_of_program(const void* address);

}  // namespace haze::simt
