#include "haze/nn/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <tuple>

#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "haze/nn/file_io.h"
#include "haze/nn/nesting.h"
#include "haze/nn/safetensors.h"
#include "haze/nn/safetensors_header.h"

namespace haze {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kModelFile = "model.safetensors";
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kEmaFile = "ema.safetensors";
constexpr const char* kManifestFile = "manifest.json";
constexpr const char* kLatestFile = "latest";
constexpr const char* kBestFile = "best";
constexpr std::string_view kStepPrefix = "step-";
constexpr std::string_view kReplacedMark = ".replaced-";

/// What is known of a checkpoint from the name of its folder.
struct FolderName {
  int64_t step = 0;
  int64_t replaced = 0;  // 0: in its place; n: set aside as the n-th, while another takes its place
};

std::string to_string(const FolderName& name) {
  std::string text = fmt::format("{}{:06}", kStepPrefix, name.step);
  if (name.replaced > 0) text += fmt::format("{}{}", kReplacedMark, name.replaced);
  return text;
}

std::optional<FolderName> parse_folder_name(std::string_view text) {
  if (!text.starts_with(kStepPrefix)) return {};
  FolderName name;
  const char* end = text.data() + text.size();
  auto [rest, error] = std::from_chars(text.data() + kStepPrefix.size(), end, name.step);
  if (error != std::errc()) return {};
  const std::string_view tail(rest, static_cast<size_t>(end - rest));
  if (tail.starts_with(kReplacedMark)) {
    std::from_chars(rest + kReplacedMark.size(), end, name.replaced);
  }
  if (to_string(name) != text) return {};
  return name;
}

/// The file names in a folder; none where it cannot be read.
std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  return names;
}

std::vector<FolderName> checkpoints_in(const fs::path& run_folder) {
  std::vector<FolderName> found;
  for (const auto& text : names_in(run_folder)) {
    if (const auto name = parse_folder_name(text)) found.push_back(*name);
  }
  return found;
}

/// Removes a folder so that no moment shows a half-removed one under its name. What cannot be removed now is
/// tried again at the next save.
void remove_folder(const fs::path& folder) {
  const fs::path doomed = unfinished_name(folder);
  std::error_code ignored;
  fs::rename(folder, doomed, ignored);
  fs::remove_all(doomed, ignored);
}

/// A folder on its way to becoming a checkpoint; removed again unless it is published.
class UnfinishedFolder {
 public:
  explicit UnfinishedFolder(const fs::path& final_path) : path_(unfinished_name(final_path)) {
    std::error_code error;
    fs::create_directory(path_, error);
    if (error) fail("cannot make {}: {}", finished_name(path_).string(), error.message());
  }
  ~UnfinishedFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  UnfinishedFolder(const UnfinishedFolder&) = delete;
  UnfinishedFolder& operator=(const UnfinishedFolder&) = delete;

  /// Writes one file by `write(FileWriter&)` and notes it for the manifest.
  template <typename Write>
  void add(const std::string& name, Write write) {
    FileWriter file(path_ / name);
    write(file);
    file.finish();
    files_[name] = {{"bytes", file.bytes()}, {"crc32", fmt::format("{:08x}", file.checksum())}};
  }

  /// Writes the manifest and waits until all is on the disk.
  void complete(int64_t step) {
    const Json manifest = {{"format", 1}, {"step", step}, {"files", files_}};
    FileWriter file(path_ / kManifestFile);
    file.append(manifest.dump(2) + "\n");
    file.finish();
    sync_folder(path_);
  }

  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
  Json files_ = Json::object();
};

void check_text_names(const Checkpoint& checkpoint) {
  std::set<std::string> taken = {kModelFile, kOptimizerFile, kEmaFile, kManifestFile};
  for (const auto& [name, contents] : checkpoint.texts) {
    if (name.empty() || name.front() == '.' || name.find('/') != std::string::npos) {
      fail("checkpoint: a part cannot have the file name \"{}\"", name);
    }
    if (!taken.insert(name).second) fail("checkpoint: two parts have the file name {}", name);
  }
}

void write_parts(UnfinishedFolder& folder, const Checkpoint& checkpoint) {
  const auto add_tensors = [&](const char* name, const NamedTensors& tensors) {
    folder.add(name, [&](FileWriter& file) {
      write_safetensors(file, tensors, {{"format", "haze"}, {"step", std::to_string(checkpoint.step)}});
    });
  };
  add_tensors(kModelFile, checkpoint.model);
  add_tensors(kOptimizerFile, checkpoint.optimizer);
  if (!checkpoint.ema.empty()) add_tensors(kEmaFile, checkpoint.ema);
  for (const auto& [name, contents] : checkpoint.texts) {
    folder.add(name, [&text = contents](FileWriter& file) { file.append(text); });
  }
  folder.complete(checkpoint.step);
}

/// Gives a whole folder its final name. A checkpoint that has this name is first set aside under one that
/// find_latest_checkpoint() knows too.
void publish(const fs::path& folder, const fs::path& run_folder, int64_t step) {
  const fs::path target = run_folder / to_string(FolderName{step, 0});
  if (!fs::exists(fs::symlink_status(target))) return rename_durably(folder, target);
  FolderName aside{step, 1};
  while (fs::exists(fs::symlink_status(run_folder / to_string(aside)))) ++aside.replaced;
  rename_durably(target, run_folder / to_string(aside));
  try {
    rename_durably(folder, target);
  } catch (const Error&) {
    rename_durably(run_folder / to_string(aside), target);
    throw;
  }
}

/// Makes the file `latest` or `best` name the checkpoint of a step.
void write_pointer(const fs::path& run_folder, const char* file, int64_t step) {
  write_file_atomically(run_folder / file, to_string(FolderName{step, 0}) + "\n");
}

/// The name in the file `latest` or `best`; none where there is no such file, or no name in it.
std::optional<FolderName> read_pointer(const fs::path& run_folder, const char* file) {
  try {
    std::string text = read_whole_file(run_folder / file);
    if (text.ends_with('\n')) text.pop_back();
    return parse_folder_name(text);
  } catch (const Error&) {
    return {};
  }
}

/// The folder that the file `best` names, also where a crash has left it set aside; none where that is gone.
std::optional<FolderName> best_among(const std::vector<FolderName>& checkpoints, const fs::path& run_folder) {
  const std::optional<FolderName> named = read_pointer(run_folder, kBestFile);
  std::optional<FolderName> best;
  for (const FolderName& name : checkpoints) {
    const bool is_named = named && name.step == named->step;
    if (is_named && (!best || name.replaced < best->replaced)) best = name;
  }
  return best;
}

void remove_best_pointer(const fs::path& run_folder) {
  const fs::path path = run_folder / kBestFile;
  std::error_code error;
  if (!fs::remove(path, error) && error) fail("cannot remove {}: {}", path.string(), error.message());
  sync_folder(run_folder);
}

void remove_old(const fs::path& run_folder, int64_t step, int keep) {
  std::vector<FolderName> checkpoints = checkpoints_in(run_folder);
  std::sort(checkpoints.begin(), checkpoints.end(),
            [](const FolderName& a, const FolderName& b) { return a.step > b.step; });
  std::optional<FolderName> best = best_among(checkpoints, run_folder);
  if (!best || best->step > step) {
    // Before the folder, so that `best` never names what is gone.
    remove_best_pointer(run_folder);
    best.reset();
  }
  int kept = 0;
  for (const FolderName& name : checkpoints) {
    const bool is_best = best && name.step == best->step && name.replaced == best->replaced;
    const bool is_new = name.replaced == 0 && name.step <= step && kept < keep;
    kept += is_new;
    if (!is_new && !is_best) remove_folder(run_folder / to_string(name));
  }
}

struct Manifest {
  struct File {
    uint64_t bytes;
    std::string crc32;
  };
  int64_t step = 0;
  std::map<std::string, File> files;
};

/// A whole number of a manifest: a fraction would be cut, and one that is too large is no number at all.
int64_t whole_number(const Json& json, const fs::path& path, const char* what) {
  if (!json.is_number()) return json.get<int64_t>();  // throws
  const bool fits =
      json.is_number_integer() && (!json.is_number_unsigned() || json.get<uint64_t>() <= uint64_t{INT64_MAX});
  if (!fits || json.get<int64_t>() < 0)
    fail("{} is damaged: its {} is {}", path.string(), what,
         safetensors::in_quotes(json.dump(-1, ' ', true)));
  return json.get<int64_t>();
}

/// Throws Error where the weights, which their checksum protects, are of another step than the manifest says.
void check_step(const fs::path& folder, int64_t step) {
  const FileReader file(folder / kModelFile);
  const Metadata metadata = safetensors::read_header(file).metadata;
  const auto found = metadata.find("step");
  if (found == metadata.end() || found->second == std::to_string(step)) return;
  fail("{} is damaged: it says step {}, and {} is of step {}", (folder / kManifestFile).string(), step,
       kModelFile, safetensors::in_quotes(found->second));
}

Manifest read_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifestFile;
  const std::string text = read_whole_file(path);
  require_shallow(text, path.string());
  Manifest manifest;
  try {
    const Json json = Json::parse(text);
    if (const int64_t format = whole_number(json.at("format"), path, "format"); format != 1) {
      fail("{}: checkpoints of format {} are not known here", path.string(), format);
    }
    manifest.step = whole_number(json.at("step"), path, "step");
    for (const auto& [name, file] : json.at("files").items()) {
      if (name.find('/') != std::string::npos) fail("{}: {} is not a file name", path.string(), name);
      const int64_t bytes = whole_number(file.at("bytes"), path, "number of bytes");
      manifest.files[name] = {static_cast<uint64_t>(bytes), file.at("crc32")};
    }
  } catch (const Json::exception&) {
    fail("{} is damaged: it does not list a checkpoint's files", path.string());
  }
  for (const char* name : {kModelFile, kOptimizerFile}) {
    if (!manifest.files.contains(name)) fail("{} is damaged: it does not list {}", path.string(), name);
  }
  return manifest;
}

/// The manifest, once every file it lists has been found to be what was written.
Manifest check_folder(const fs::path& folder) {
  Manifest manifest = read_manifest(folder);
  for (const auto& [name, expected] : manifest.files) {
    const FileReader file(folder / name);
    if (file.bytes() != expected.bytes) {
      fail("{} is damaged: it has {} bytes, not {}", file.path().string(), file.bytes(), expected.bytes);
    }
    if (fmt::format("{:08x}", file.checksum()) != expected.crc32) {
      fail("{} is damaged: its checksum is not that of what was written", file.path().string());
    }
  }
  check_step(folder, manifest.step);
  return manifest;
}

/// A tensor of these that holds NaN or infinity; none where all are finite.
const NamedTensor* find_non_finite(const NamedTensors& tensors) {
  const auto is_finite = [](const Tensor& tensor) {
    if (!tensor.defined() || !is_floating(tensor.dtype())) return true;
    return all_finite(tensor);
  };
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const NamedTensor& named) { return !is_finite(named.tensor); });
  return found == tensors.end() ? nullptr : &*found;
}

void check_finite(const fs::path& run_folder, const Checkpoint& checkpoint) {
  const std::pair<const char*, const NamedTensors*> parts[] = {
      {"the model", &checkpoint.model},
      {"the optimizer's state", &checkpoint.optimizer},
      {"the averages", &checkpoint.ema}};
  for (const auto& [part, tensors] : parts) {
    const NamedTensor* found = find_non_finite(*tensors);
    if (found == nullptr) continue;
    const auto latest = find_latest_checkpoint(run_folder);
    fail("step {} is not saved, because {} of {} holds a number that is not finite{}", checkpoint.step,
         found->name, part,
         latest ? fmt::format("; {} is the latest whole checkpoint", latest->filename().string()) : "");
  }
}

NamedTensors read_finite_tensors(const fs::path& path) {
  NamedTensors tensors = read_safetensors(path).tensors;
  if (const NamedTensor* found = find_non_finite(tensors)) {
    fail("{}: tensor {} holds a number that is not finite", path.string(),
         safetensors::in_quotes(found->name));
  }
  return tensors;
}

}  // namespace

const std::string& Checkpoint::text(std::string_view file_name) const {
  const auto found =
      std::find_if(texts.begin(), texts.end(), [&](const auto& text) { return text.first == file_name; });
  if (found == texts.end()) fail("the checkpoint of step {} has no {}", step, file_name);
  return found->second;
}

void remove_unfinished(const fs::path& run_folder) {
  for (const auto& name : names_in(run_folder)) {
    if (is_unfinished_name(name)) remove_abandoned(run_folder / name);
  }
}

fs::path save_checkpoint(const fs::path& run_folder, const Checkpoint& checkpoint,
                         const SaveOptions& options) {
  if (checkpoint.step < 0) fail("checkpoint: the step is negative: {}", checkpoint.step);
  if (options.keep < 1) fail("checkpoint: at least 1 must be kept, not {}", options.keep);
  check_text_names(checkpoint);
  check_finite(run_folder, checkpoint);
  const auto ask = [&] {
    if (options.before_change) options.before_change();
  };
  ask();
  std::error_code error;
  fs::create_directories(run_folder, error);
  if (error) fail("cannot make the folder {}: {}", run_folder.string(), error.message());
  remove_unfinished(run_folder);

  const fs::path path = run_folder / to_string(FolderName{checkpoint.step, 0});
  {
    UnfinishedFolder folder(path);
    write_parts(folder, checkpoint);
    ask();
    publish(folder.path(), run_folder, checkpoint.step);
  }
  // `best` comes first: a process that dies in between goes on from the checkpoint before, which doesn't
  // count on this one. The other way round the run would go on from a best checkpoint that `best` doesn't
  // name.
  ask();
  if (options.best) write_pointer(run_folder, kBestFile, checkpoint.step);
  write_pointer(run_folder, kLatestFile, checkpoint.step);
  ask();
  remove_old(run_folder, checkpoint.step, options.keep);
  return path;
}

namespace {

/// A folder's device and number, which tell it from another of the same name; none where there is none.
std::optional<std::pair<dev_t, ino_t>> identity_of(const fs::path& folder) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0) return {};
  return std::pair(status.st_dev, status.st_ino);
}

/// Does `read` with a folder. False where the folder has been removed or replaced meanwhile, as by a process
/// that trains the run; throws what `read` throws where it has not.
template <typename Read>
bool done_in(const fs::path& folder, Read read) {
  const auto before = identity_of(folder);
  try {
    read();
    return true;
  } catch (const Error&) {
    if (before && identity_of(folder) == before) throw;
    return false;
  }
}

/// Checkpoints, the latest first, then those that stand for it where it is damaged.
std::vector<FolderName> in_order_of_choice(const fs::path& run_folder) {
  const std::optional<FolderName> latest = read_pointer(run_folder, kLatestFile);
  std::vector<FolderName> checkpoints = checkpoints_in(run_folder);
  const auto rank = [&](const FolderName& name) {
    const bool is_latest = latest && name.step == latest->step;
    return std::tuple(!is_latest, -name.step, name.replaced);
  };
  std::sort(checkpoints.begin(), checkpoints.end(),
            [&](const FolderName& a, const FolderName& b) { return rank(a) < rank(b); });
  return checkpoints;
}

// A process that trains may remove every checkpoint of a list before it is looked at, but hardly so often.
constexpr int kLooks = 100;

/// The first whole checkpoint of those that `list` names. It is asked again where one has gone meanwhile.
template <typename List>
std::optional<fs::path> first_whole(const fs::path& run_folder, List list, std::vector<std::string>* damage) {
  for (int look = 1;; ++look) {
    std::vector<std::string> found;
    std::optional<fs::path> whole;
    bool gone = false;
    for (const FolderName& name : list()) {
      const fs::path folder = run_folder / to_string(name);
      try {
        if (done_in(folder, [&] { check_folder(folder); })) whole = folder;
        gone = !whole && look < kLooks;
      } catch (const Error& error) {
        // An older whole one is better than a damaged one.
        found.push_back(error.what());
      }
      if (whole || gone) break;
    }
    if (gone) continue;
    if (damage) damage->insert(damage->end(), found.begin(), found.end());
    return whole;
  }
}

}  // namespace

std::optional<fs::path> find_latest_checkpoint(const fs::path& run_folder, std::vector<std::string>* damage) {
  const auto latest = [&] {
    for (int look = 1;; ++look) {
      std::vector<FolderName> found = in_order_of_choice(run_folder);
      // A folder that is listed while checkpoints come and go may seem to hold none.
      if (!found.empty() || look == kLooks || !read_pointer(run_folder, kLatestFile)) return found;
    }
  };
  return first_whole(run_folder, latest, damage);
}

std::optional<fs::path> find_best_checkpoint(const fs::path& run_folder, std::vector<std::string>* damage) {
  const auto best = [&]() -> std::vector<FolderName> {
    for (int look = 1; look <= kLooks; ++look) {
      if (const auto found = best_among(checkpoints_in(run_folder), run_folder)) return {*found};
      // The list may be older than the name.
      if (!read_pointer(run_folder, kBestFile)) break;
    }
    return {};
  };
  return first_whole(run_folder, best, damage);
}

Checkpoint read_checkpoint(const std::function<fs::path()>& find) {
  for (int look = 1;; ++look) {
    const fs::path folder = find();
    Checkpoint checkpoint;
    const auto read = [&] { checkpoint = read_checkpoint(folder); };
    if (look == kLooks) {
      read();
      return checkpoint;
    }
    if (done_in(folder, read)) return checkpoint;
  }
}

int64_t step_of_checkpoint(const fs::path& folder) {
  return check_folder(folder).step;
}

Checkpoint read_checkpoint(const fs::path& folder) {
  const Manifest manifest = check_folder(folder);
  Checkpoint checkpoint{.step = manifest.step, .model = {}, .optimizer = {}, .ema = {}, .texts = {}};
  for (const auto& [name, file] : manifest.files) {
    if (name == kModelFile) {
      checkpoint.model = read_finite_tensors(folder / name);
    } else if (name == kOptimizerFile) {
      checkpoint.optimizer = read_finite_tensors(folder / name);
    } else if (name == kEmaFile) {
      checkpoint.ema = read_finite_tensors(folder / name);
    } else {
      checkpoint.texts.emplace_back(name, read_whole_file(folder / name));
    }
  }
  return checkpoint;
}

}  // namespace haze
