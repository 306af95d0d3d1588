#include "haze/diffusion/gaussian/sde_settings.h"

namespace haze {

SettingsTable sde_settings(const std::string& section) {
  const Sde paper;
  return {
      choice_setting(section + ".sde", "vp", {"vp", "sub-vp", "ve"},
                     "from data to noise: variance-preserving, sub-VP or variance-exploding"),
      only_with(
          real_setting(section + ".beta_min", paper.beta_min, at_least(0), "beta at t = 0, of vp and sub-vp"),
          section + ".sde", {"vp", "sub-vp"}),
      only_with(
          real_setting(section + ".beta_max", paper.beta_max, above(0), "beta at t = 1, of vp and sub-vp"),
          section + ".sde", {"vp", "sub-vp"}),
      only_with(real_setting(section + ".sigma_min", paper.sigma_min, above(0), "sigma at t = 0"),
                section + ".sde", {"ve"}),
      only_with(real_setting(section + ".sigma_max", paper.sigma_max, above(0),
                             "sigma at t = 1, about the largest distance between two examples"),
                section + ".sde", {"ve"}),
  };
}

Sde sde_from(const Settings& settings, const std::string& section) {
  // A value that is not the default was meant for another SDE.
  for (const Setting& row : sde_settings(section)) {
    if (settings.value(row.key) != row.default_value) require_matters(settings, row.key, row.key);
  }
  const std::string& name = settings.text(section + ".sde");
  const Sde sde{.kind = name == "ve"       ? SdeKind::variance_exploding
                        : name == "sub-vp" ? SdeKind::sub_variance_preserving
                                           : SdeKind::variance_preserving,
                .beta_min = settings.real(section + ".beta_min"),
                .beta_max = settings.real(section + ".beta_max"),
                .sigma_min = settings.real(section + ".sigma_min"),
                .sigma_max = settings.real(section + ".sigma_max")};
  try {
    check_sde(sde);
  } catch (const Error& error) {
    fail("section [{}]: {}", section, error.what());
  }
  return sde;
}

}  // namespace haze
