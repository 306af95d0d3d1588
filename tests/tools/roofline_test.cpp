#include "haze/tools/run/roofline.h"

#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/error.h"

using haze::Roof;
using haze::RooflinePoint;

TEST_CASE("the roofline is the bandwidth's slope up to the ridge and the peak after it") {
  const Roof memory{"memory", 20};
  CHECK(haze::roofline(100, memory, 0.5) == 10);
  CHECK(haze::roofline(100, memory, 5) == 100);  // the ridge
  CHECK(haze::roofline(100, memory, 50) == 100);
}

TEST_CASE("a kernel at the ridge is drawn where the slope meets the peak") {
  const std::vector<Roof> roofs{{"memory", 20}};
  const std::vector<RooflinePoint> points{{"at <the> ridge", 5, 100}, {"slow", 0.1, 1}};
  const std::string svg = haze::plot_roofline_svg(100, roofs, points, "title");
  // The end of the slope has the x of the first circle.
  const auto circle = svg.find("<circle class=\"point\" cx=\"");
  REQUIRE(circle != std::string::npos);
  const auto x_begin = circle + std::string("<circle class=\"point\" cx=\"").size();
  const std::string x = svg.substr(x_begin, svg.find('"', x_begin) - x_begin);
  CHECK(svg.find("x2=\"" + x + "\"") != std::string::npos);
  CHECK(svg.find("at &lt;the&gt; ridge") != std::string::npos);
  CHECK(svg.find("nan") == std::string::npos);
}

TEST_CASE("a roofline without a roof or without a kernel is refused") {
  const std::vector<Roof> roofs{{"memory", 20}};
  const std::vector<RooflinePoint> points{{"add", 1, 1}};
  CHECK_THROWS_AS(haze::plot_roofline_svg(100, {}, points, "title"), haze::Error);
  CHECK_THROWS_AS(haze::plot_roofline_svg(100, roofs, {}, "title"), haze::Error);
}
