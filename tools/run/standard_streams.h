#pragma once

namespace haze {

/// What a program does before all else, so that its standard streams can do no harm. Opens /dev/null on those
/// that are closed: otherwise the next file that is opened takes their number, and gets what is printed.
/// Ignores SIGPIPE and SIGXFSZ: a write that nobody reads, or that a limit forbids, then fails as any other
/// does, and a run that trains is not ended by it.
void prepare_standard_streams();

/// Writes what standard output still holds. `reason` is the error number of a write that failed before; 0:
/// none did. Returns the exit status: `status`, unless that is 0 and the output cannot be written. Where
/// nobody reads it any more, as in `haze sample run | head -1`, that is 141 without a word, as a shell counts
/// SIGPIPE; otherwise standard error says why, and it is 1.
int finish_standard_output(int status, int reason = 0);

}  // namespace haze
