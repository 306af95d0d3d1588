#pragma once

#include <cstddef>

/// Coefficients of the piecewise polynomials in math-inl.h. Each is the minimax polynomial of its piece in
/// relative error, by Remez' exchange in 40 digits.
namespace haze {

/// f(|x|) = sum over k of coefficients[k][i] t^k, t = |x| - centre[i], in piece i. Pieces are columns, so
/// that a row is a table in which a vector looks up one coefficient for all its lanes. Centres are chosen so
/// that f(centre) is almost a float: rounding coefficients[0] then costs nothing. Piece 0 goes through 0
/// exactly.
template <size_t kDegree>
struct Pieces {
  float scale;  // takes |x| to the number of its piece: see Erf and Tanh
  alignas(32) float centre[8];
  alignas(32) float coefficients[kDegree + 1][8];
};

/// erf up to 3.95, off by 2^-25.5 at most; from there on it rounds to 1. Piece 0 is erf x - x: the slope of
/// erf at 0, 2 / sqrt(pi), lies halfway between two floats, and without its leading 1 it has three more bits.
inline constexpr Pieces<6> kErfPieces = {
    1.89620256f,
    {0, 0.526666641f, 1.06300175f, 1.57701159f, 2.11826873f, 2.64563847f, 3.17054725f, 3.69121432f},
    {{0, 0.543618917f, 0.867241263f, 0.9742679f, 0.997261703f, 0.999817073f, 0.999992669f, 0.999999821f},
     {0.128379166f, 0.855050087f, 0.364514381f, 0.0938379914f, 0.0126983179f, 0.001029587f, 4.86229619e-05f,
      1.36591109e-06f},
     {-6.87178385e-07f, -0.450326055f, -0.387481511f, -0.147984385f, -0.0268981885f, -0.00272392202f,
      -0.000154166832f, -5.04144509e-06f},
     {-0.376086444f, -0.126932874f, 0.153038397f, 0.124326006f, 0.0337610319f, 0.00445826957f,
      0.000308622082f, 1.18502585e-05f},
     {-0.000720481738f, 0.183492109f, 0.0479185916f, -0.0486600101f, -0.0268044788f, -0.00498983683f,
      -0.000437710027f, -2.02180436e-05f},
     {0.118463486f, 0.000296454382f, -0.0647630021f, -0.00727196038f, 0.012330763f, 0.00402643206f,
      0.000492226158f, 2.92309014e-05f},
     {-0.0199939497f, -0.0477421097f, 0.00894833822f, 0.0160679277f, -0.00138758053f, -0.00218613679f,
      -0.000399771001f, -2.98584691e-05f}}};

/// tanh up to 9.1, off by 2^-26.3 at most; from there on it rounds to 1.
inline constexpr Pieces<7> kTanhPieces = {
    3.2945056f,
    {0, 0.450649321f, 0.919915497f, 1.52132082f, 2.44568825f, 3.63959527f, 5.41669559f, 7.85982609f},
    {{0, 0.422432601f, 0.725857437f, 0.90892756f, 0.985089839f, 0.998621464f, 0.999960542f, 0.999999702f},
     {1.0f, 0.821550727f, 0.473130912f, 0.173850685f, 0.0295980982f, 0.00275517162f, 7.89182523e-05f,
      5.95764845e-07f},
     {-2.06827153e-07f, -0.347049743f, -0.343427271f, -0.158017486f, -0.0291558728f, -0.00275146612f,
      -7.91287021e-05f, -5.97474354e-07f},
     {-0.333322793f, -0.127245173f, 0.0915746316f, 0.0856762752f, 0.0188534837f, 0.00182922033f,
      5.2595231e-05f, 3.97540703e-07f},
     {-0.000199291564f, 0.169426426f, 0.0481001213f, -0.0252115726f, -0.00886695925f, -0.000908302085f,
      -2.55654322e-05f, -1.92952371e-07f},
     {0.135094911f, -0.0108931893f, -0.0550387092f, -0.00178709917f, 0.00311500789f, 0.000359512866f,
      1.0469701e-05f, 7.84225662e-08f},
     {-0.00761667499f, -0.0589370504f, 0.0145765124f, 0.00670050876f, -0.000699761265f, -0.000122630081f,
      -4.28856856e-06f, -3.25038485e-08f},
     {-0.0400878899f, 0.0236518495f, 0.00910770614f, -0.00379131734f, 9.25928998e-06f, 3.29778304e-05f,
      1.11237262e-06f, 8.73032846e-09f}}};

}  // namespace haze
