#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace haze::simt {

/// Of an address, as an offset in the executable.
uint32_t offset_at(const void* address);
/// Of the call before the return address.
uint32_t offset_of(const void* return_address);
/// Looks up the symbols at some offsets, which are remembered. The program addr2line of binutils reads all
/// symbols of the executable each time, and takes as long for many offsets as for one.
void look_up(const std::vector<uint32_t>& offsets);
/// "softmax.cu:41 in haze::checked::softmax_rows"; "?" where the executable has no symbols. Looks it up.
std::string line_of(uint32_t offset);
/// The function at the offset, with its template's arguments and the types of its parameters: "void
/// haze::checked::softmax<float>(float const*, float*)"; "?" where there are no symbols. Looks it up.
std::string function_at(uint32_t offset);
/// Whether the address lies in the executable's own code or constants.
bool is_of_program(const void* address);

}  // namespace haze::simt
