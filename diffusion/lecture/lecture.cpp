#include "haze/diffusion/lecture.h"

#include <algorithm>

#include <fmt/format.h>

#include "haze/diffusion/lecture/discrete_pages.h"
#include "haze/diffusion/lecture/gaussian_pages.h"
#include "haze/engine/error.h"

namespace haze {

bool LecturePage::reads(std::string_view part) const {
  return std::find(uses.begin(), uses.end(), part) != uses.end();
}

const std::vector<LecturePage>& lecture_pages() {
  static const std::vector<LecturePage> pages = {
      {"The Generative Learning Trilemma", "", "haze compare configs/tables/trilemma.toml",
       "quality, coverage and speed of four models"},
      {"Variational Autoencoder", "", "haze train --config configs/vae.toml", "L_VAE falls"},
      {"Generative Adversarial Network", "", "haze train --config configs/gan.toml",
       "generator against discriminator"},
      {"Forward Diffusion Process; reference 1",
       "forward",
       "",
       "x_t one step at a time, beside the closed form",
       forward_process,
       {"t", "schedule", "steps", "x_0", "seed"}},
      {"Reverse Denoising Process; Algorithms 1 and 2", "", "haze train --config configs/ddpm.toml",
       "p_theta(x_{t-1} | x_t), trained by L_simple"},
      {"L_{t-1}; reference 4, the posterior",
       "posterior",
       "",
       "mu_tilde_t and beta_tilde_t",
       posterior_coefficients,
       {"t", "schedule", "steps"}},
      {"Objective for DDPM; reference 5",
       "objective",
       "",
       "what L_simple leaves out of L_{t-1}",
       objective_weights,
       {"t", "schedule", "steps"}},
      {"Diffusion-LM: Continuous Diffusion Language Modeling", "",
       "haze train --config configs/diffusion-lm.toml", "EMB(w), the end-to-end loss and the bound"},
      {"Decoding and Controllable Generation with Diffusion-LM", "",
       "haze train --config configs/word-classifier.toml, then haze control",
       "texts with a property, by gradients of a classifier"},
      {"Score-based generative modeling through SDEs", "", "haze train --config configs/score-sde.toml",
       "the reverse SDE from a learned score"},
      {"Diffusion models for discrete state spaces; absorbing state", "d3pm", "",
       "the products x_{t-1} Q_t, and the posterior", transition_products},
      {"Diffusion models with a discrete absorbing state", "", "haze train --config configs/d3pm.toml",
       "the same on texts"},
  };
  return pages;
}

const LecturePage& lecture_page(const std::string& name) {
  std::vector<std::string> names;
  for (const LecturePage& page : lecture_pages()) {
    if (page.name == name && page.compute) return page;
    if (page.compute) names.push_back(page.name);
  }
  fail("the lecture has no page '{}' here; those that can be computed are {}", name, fmt::join(names, ", "));
}

}  // namespace haze
