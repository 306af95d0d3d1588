#include "haze/tools/corpus/restaurant_rules.h"

namespace haze {

const std::string_view kRestaurantWords = R"(
# ---- Names: The Copper Kettle, Greta 's Pantry, Ondine ----

<NP:name>
  = 5 {name} The/NNP <name-quality> <name-thing>
  | 3 {name} <NP:owner> <name-room>
  | 2 {name} <name-alone>
<NP:owner> = <first-name> 's/POS
<name-quality>
  = Copper/NNP | Silver/NNP | Crooked/NNP | Hidden/NNP | Wandering/NNP | Sleeping/NNP | Laughing/NNP
  | Scarlet/NNP
  | Ivory/NNP | Crimson/NNP | Amber/NNP | Velvet/NNP | Humble/NNP | Merry/NNP | Lucky/NNP | Silent/NNP
  | Curious/NNP | Drifting/NNP | Gilded/NNP | Painted/NNP | Whistling/NNP | Northern/NNP | Dancing/NNP
  | Thirsty/NNP
<name-thing>
  = Kettle/NNP | Lantern/NNP | Anchor/NNP | Barrel/NNP | Fiddler/NNP | Heron/NNP | Otter/NNP | Badger/NNP
  | Sparrow/NNP | Compass/NNP | Teapot/NNP | Ladle/NNP | Spoon/NNP | Feather/NNP | Harvest/NNP | Orchard/NNP
  | Acorn/NNP | Candle/NNP | Mermaid/NNP | Pilgrim/NNP | Weaver/NNP | Piper/NNP | Cobbler/NNP | Stag/NNP
<first-name>
  = Marlow/NNP | Rosalind/NNP | Barnaby/NNP | Matilda/NNP | Oswin/NNP | Greta/NNP | Imogen/NNP | Leopold/NNP
  | Cosima/NNP | Percival/NNP | Winifred/NNP | Tobias/NNP | Harriet/NNP | Ambrose/NNP | Felix/NNP
  | Ottilie/NNP
<name-room>
  = Kitchen/NNP | Table/NNP | Pantry/NNP | Larder/NNP | Corner/NNP | Hearth/NNP | Cellar/NNP | Garden/NNP
<name-alone>
  = Ondine/NNP | Tamarack/NNP | Quillon/NNP | Farlow/NNP | Meridia/NNP | Brindle/NNP | Solstice/NNP
  | Halcyon/NNP
  | Marigold/NNP | Vespera/NNP | Calypso/NNP | Tamarind/NNP | Persimmon/NNP | Saffronia/NNP | Larkspur/NNP
  | Nettlecombe/NNP | Oakhurst/NNP | Bramblewick/NNP | Cinderford/NNP | Juno/NNP | Pomona/NNP | Zephyr/NNP
  | Ember/NNP | Nimbus/NNP | Fennel/NNP | Arcadia/NNP | Lumen/NNP | Verbena/NNP | Kumquat/NNP | Indigo/NNP

<type-name>
  = 8 restaurant/NN | 6 pub/NN | 5 coffee/NN shop/NN | 3 bistro/NN | 2 diner/NN | 2 tavern/NN | 2 brasserie/NN
  | 2 wine/NN bar/NN | 2 café/NN | 1 gastropub/NN | 1 inn/NN

# ---- Landmarks: Harrow Bridge, the Linden Theatre ----

<NP:landmark>     = {near} <landmark-name> <landmark-place>
<NP:the-landmark> = the/DT <landmark-house>
<landmark-house>  = {near} <landmark-name> <landmark-building>
<landmark-name>
  = Alder/NNP | Harrow/NNP | Linden/NNP | Maple/NNP | Rowan/NNP | Thistle/NNP | Kestrel/NNP | Juniper/NNP
  | Granby/NNP | Hollis/NNP | Ashby/NNP | Wexley/NNP | Carver/NNP | Fairfax/NNP | Pemberton/NNP | Lockwood/NNP
  | Selby/NNP | Draper/NNP | Thornton/NNP | Quarry/NNP
<landmark-place>
  = 3 Square/NNP | 3 Park/NNP | 3 Bridge/NNP | 3 Station/NNP | 2 Market/NNP | Abbey/NNP | Gardens/NNP
  | Castle/NNP | Cathedral/NNP | Green/NNP
<landmark-building>
  = 3 Theatre/NNP | 3 Hotel/NNP | 2 Museum/NNP | 2 Library/NNP | 2 Cinema/NNP | Gallery/NNP | Hospital/NNP
  | Arena/NNP

# ---- Areas ----

<PP:area>       = 4 <area.short> | 2 <area.long>
<PP:area.short> = <area.short>
<area.short>
  = 5 {area=city centre} in/IN <NP:the-city-centre>
  | 3 {area=riverside} by/IN <NP:the-river> | 2 {area=riverside} in/IN <NP:the-riverside-area>
  | 3 {area=old town} in/IN <NP:the-old-town> | 2 {area=harbour} by/IN <NP:the-harbour>
  | 2 {area=seafront} on/IN <NP:the-seafront> | 2 {area=suburbs} in/IN <NP:the-suburbs>
  | 5 in/IN <NP:the-district>
<area.long>
  = 1 {area=city centre} in/IN <NP:the-centre-of-the-city>
  | 2 {area=city centre} in/IN <NP:the-heart-of-the-city>
  | 2 {area=riverside} on/IN <NP:the-bank-of-the-river> | 2 {area=outskirts} on/IN <NP:the-outskirts-of-town>
  | 2 in/IN <NP:the-end-of-town> | 2 on/IN <NP:the-side-of-town>
<NP:the-city-centre>  = the/DT city/NN centre/NN
<NP:the-centre-of-the-city> = <NP:the-centre> <PP:of-the-city>
<NP:the-centre>       = the/DT centre/NN
<NP:the-heart-of-the-city> = <NP:the-heart> <PP:of-the-city>
<NP:the-heart>        = the/DT heart/NN
<NP:the-river>        = the/DT river/NN
<NP:the-riverside-area> = the/DT riverside/NN <area-noun>
<area-noun>           = 2 area/NN | district/NN
<NP:the-bank-of-the-river> = <NP:the-bank> <PP:of-the-river>
<NP:the-bank>         = the/DT bank/NN
<PP:of-the-river>     = of/IN <NP:the-river>
<NP:the-old-town>     = the/DT old/JJ town/NN
<NP:the-harbour>      = the/DT harbour/NN
<NP:the-seafront>     = the/DT seafront/NN
<NP:the-suburbs>      = the/DT <leafy> suburbs/NNS
<leafy>               = 3 () | leafy/JJ
<NP:the-outskirts-of-town> = <NP:the-outskirts> <PP:of-town>
<NP:the-outskirts>    = the/DT outskirts/NNS
<NP:the-district>     = the/DT <district>
<district>            = {area} <district-name> <quarter>
<district-name>
  = 2 market/NN | theatre/NN | university/NN | business/NN | garden/NN | museum/NN | cathedral/NN
<quarter>             = 2 district/NN | quarter/NN
<NP:the-side-of-town> = <NP:the-side> <of-town>
<NP:the-end-of-town>  = <NP:the-end> <of-town>
<NP:the-end>          = the/DT <end>
<end>                 = {area} <direction> end/NN
<NP:the-side>         = the/DT <side>
<side>                = {area} <direction> side/NN
<direction>           = north/JJ | south/JJ | east/JJ | west/JJ
<of-town>             = 2 <PP:of-town> | <PP:of-the-city>
<PP:of-town>          = of/IN <NP:town>
<NP:town>             = town/NN
<PP:of-the-city>      = of/IN <NP:the-city>
<NP:the-city>         = the/DT city/NN

# ---- Food ----

<NP:food>       = 3 <food.singular> | 4 <food.plural>
<NP:F.singular> = <food.singular>
<NP:F.plural>   = <food.plural>
<food.singular>
  = 5 <national-style> <national> <food-noun> | 2 <fresh-style> <diet> <food-noun>
  | 2 <fresh-style> <dish.singular>
<food.plural>
  = 4 <national-style> <national> <dishes-noun> | 2 <fresh-style> <diet> <dishes-noun>
  | 4 <fresh-style> <dish.plural>
<food-head>
  = 5 <cuisine> <food-noun> | 3 <cuisine> <dishes-noun> | 2 <dish.singular> | 4 <dish.plural>
<cuisine>  = 4 <national> | 1 <diet>
<national> = {food} <national-word>
<national-word>
  = 2 Italian/JJ | 2 Indian/JJ | 2 Chinese/JJ | 2 French/JJ | 2 Japanese/JJ | 2 English/JJ | Thai/JJ
  | Korean/JJ
  | Mexican/JJ | Greek/JJ | Turkish/JJ | Lebanese/JJ | Spanish/JJ | Vietnamese/JJ | Ethiopian/JJ | Moroccan/JJ
  | Polish/JJ | Portuguese/JJ | Peruvian/JJ | Scottish/JJ | American/JJ | Caribbean/JJ | Persian/JJ
  | Hungarian/JJ
  | Swedish/JJ | Georgian/JJ | Malaysian/JJ | Austrian/JJ | Egyptian/JJ | Irish/JJ
<diet>     = {food} <diet-word>
<diet-word> = 3 vegetarian/JJ | 2 vegan/JJ | organic/JJ
<food-noun>   = 4 food/NN | 2 cuisine/NN | cooking/NN
<dishes-noun> = 3 dishes/NNS | meals/NNS | specialities/NNS
<national-style> = 8 () | 2 traditional/JJ | 2 authentic/JJ | classic/JJ | home-made/JJ
<fresh-style>    = 6 () | 2 fresh/JJ | 2 home-made/JJ | simple/JJ
<dish.singular>  = {food} <dish-word.singular>
<dish-word.singular> = 2 pizza/NN | pasta/NN | sushi/NN | seafood/NN | fish/NN and/CC chips/NNS | soup/NN
<dish.plural>    = {food} <dish-word.plural>
<dish-word.plural>
  = 2 burgers/NNS | 2 noodles/NNS | dumplings/NNS | sandwiches/NNS | pancakes/NNS | steaks/NNS | 2 curries/NNS
  | tapas/NNS | salads/NNS | pies/NNS | waffles/NNS | kebabs/NNS | tacos/NNS | pastries/NNS | stews/NNS
  | oysters/NNS

# ---- Numbers, in pounds ----

<low-amount>   = 2 10/CD | 12/CD | 2 15/CD | 18/CD | 2 20/CD
<amount-range>
  = 15/CD to/IN 20/CD | 18/CD to/IN 22/CD | 2 20/CD to/IN 25/CD | 20/CD to/IN 30/CD | 22/CD to/IN 28/CD
<high-amount>  = 2 30/CD | 35/CD | 40/CD | 45/CD | 50/CD
)";

}  // namespace haze
