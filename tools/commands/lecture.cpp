#include "haze/diffusion/lecture.h"

#include <array>
#include <memory>
#include <string_view>

#include <fmt/format.h>

#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/tasks/lecture_data.h"
#include "haze/tools/tasks/picture.h"
#include "haze/tools/tasks/point_sets.h"

namespace haze {
namespace {

struct Arguments {
  std::string page, data = "digits", png;
  std::vector<int> t;
  LectureQuestion question;
};

/// An option, and the part of the question that it gives.
struct PageOption {
  const char *name, *part;
};

constexpr std::array<PageOption, 6> kPageOptions = {{{"--t", "t"},
                                                     {"--steps", "steps"},
                                                     {"--schedule", "schedule"},
                                                     {"--data", "x_0"},
                                                     {"--seed", "seed"},
                                                     {"--png", "x_0"}}};

/// Throws WrongUsage where an option was given that the page has no use for.
void check_options(const CLI::App& command, const std::string& name) {
  for (const PageOption& option : kPageOptions) {
    if (command.get_option(option.name)->count() == 0) continue;
    if (name.empty()) throw WrongUsage(fmt::format("{} is for a page, and none is named", option.name));
    if (lecture_page(name).reads(option.part)) continue;
    if (std::string_view(option.name) == "--png")
      throw WrongUsage(fmt::format("the page {} has no picture for --png", name));
    throw WrongUsage(fmt::format("the page {} has no use for {}", name, option.name));
  }
}

/// The steps that are shown where none are named.
std::vector<int> default_steps(int steps) {
  std::vector<int> t;
  for (const int step : {2, steps / 5, steps / 2, steps - 1}) {
    if (t.empty() || step > t.back()) t.push_back(step);
  }
  return t;
}

/// A row for each t: to the left one step at a time, to the right in one go.
Picture picture_of(const LectureAnswer& answer, const std::string& data) {
  std::vector<Picture> rows;
  for (size_t i = 0; i < answer.noised.size(); i += 2) {
    std::vector<Picture> row;
    for (const Tensor& x : {answer.noised[i], answer.noised[i + 1]}) {
      const bool points = x.rank() == 2;
      row.push_back(points ? points_picture(x, std::max(4.0, point_set_extent(data)))
                           : sheet_of(x, x.size(0)));
    }
    rows.push_back(beside_each_other(row));
  }
  return below_each_other(rows);
}

void list_pages() {
  for (const LecturePage& page : lecture_pages()) {
    fmt::print("{}\n  {}: {}\n", page.title, page.compute ? "haze lecture " + page.name : page.command,
               page.shows);
  }
}

void show(const Arguments& arguments) {
  const LecturePage& page = lecture_page(arguments.page);
  LectureQuestion question = arguments.question;
  question.t = arguments.t.empty() ? default_steps(question.steps) : arguments.t;
  if (page.reads("x_0")) question.x_0 = lecture_data(arguments.data, question.seed);
  const LectureAnswer answer = page.compute(question);
  fmt::print("{}", answer.text);
  if (!arguments.png.empty()) write_picture(arguments.png, picture_of(answer, arguments.data));
}

}  // namespace

void add_lecture_command(CLI::App& app, int&) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("lecture", "Compute what the pages of the lecture say");
  command->add_option("page", arguments->page, "name of a page; none: list them");
  command->add_option("--t", arguments->t, "steps to show, such as 0,200,500,999 (default: four)")
      ->delimiter(',')
      ->check(whole_number(0, 1000000));
  command->add_option("--steps", arguments->question.steps, "T")
      ->capture_default_str()
      ->check(whole_number(2, 1000000));
  command->add_option("--schedule", arguments->question.schedule, "of beta_t: linear, cosine or sqrt")
      ->capture_default_str();
  command
      ->add_option("--data", arguments->data, "what forward noises: digits, a set of points, or a PNG file")
      ->check(file_name())
      ->capture_default_str();
  command->add_option("--seed", arguments->question.seed, "of the random numbers")
      ->capture_default_str()
      ->check(whole_number(0));
  command->add_option("--png", arguments->png, "write a picture: one step at a time, and in one go")
      ->check(file_name());
  add_threads_option(*command);
  command->callback([arguments, command] {
    check_options(*command, arguments->page);
    arguments->page.empty() ? list_pages() : show(*arguments);
  });
}

}  // namespace haze
